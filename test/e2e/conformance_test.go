//go:build e2e

package e2e

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConformance runs the conformance suite of the distribution spec against what is
// pushed to: its newest version (1.1+dev), with every kind of data that it has by
// default, and nothing left out as unsupported but mounts that do not say from where:
// who has a blob is told to those alone who may read there. The only other kind of data
// are images that lack a layer, which are refused (MANIFEST_BLOB_UNKNOWN), as they may be.
func TestConformance(t *testing.T) {
	suite := extra(t, "conformance")
	p := newProgram(t)
	push, dir := freeAddr(t), t.TempDir()
	p.serve(t, freeAddr(t), "--push", push)
	suite = append(command{"env", "-C", dir, "OCI_VERSION=1.1+dev", "OCI_TLS=disabled", "OCI_REGISTRY=" + push, "OCI_RESULTS_DIR=" + dir}, suite...)
	out, err := suite.output(deadline(t))
	if err != nil {
		t.Errorf("%v\n%s", err, tail(out, 80))
	}
	data, err := os.ReadFile(filepath.Join(dir, "junit.xml"))
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Tests  int `xml:"tests,attr"` // several may be told of as one case
		Suites []struct {
			Cases []struct {
				Name   string `xml:"name,attr"`
				Status string `xml:"status,attr"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(data, &report); err != nil {
		t.Fatal(err)
	}
	for _, s := range report.Suites {
		for _, c := range s.Cases {
			if c.Status != "passed" && !strings.HasSuffix(c.Name, "/blob-mount-anonymous") {
				t.Errorf("%s: %s", c.Name, c.Status)
			}
		}
	}
	if report.Tests < 900 {
		t.Errorf("the suite ran %d tests, it has more than 900", report.Tests)
	}
	results.progress("%d tests of the distribution spec's conformance suite", report.Tests)
}
