//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/image2ipfs/image2ipfs/test/process"
)

// startRegistry starts an ordinary registry, and gives its address.
func startRegistry(t *testing.T, crane command) string {
	t.Helper()
	addr := freeAddr(t)
	startDaemon(t, append(slices.Clone(crane), "registry", "serve", "--address", addr))
	eventually(t, "registry", func() error { return process.Answers(http.DefaultClient, "http://"+addr+"/v2/")(deadline(t)) })
	return addr
}

// TestDiscover publishes an image with something attached to it, which others
// must discover.
func TestDiscover(t *testing.T) {
	t.Parallel()
	oras := commandFor("oras")
	if oras == nil {
		missing(t, "oras", "not there (hack/engines.sh tools builds it)")
		return
	}
	dir := t.TempDir()
	layout := filepath.Join(dir, "layout")
	if err := os.CopyFS(layout, os.DirFS(archivePath(t, "small.skopeo"))); err != nil {
		t.Fatal(err)
	}
	src, err := readSource(layout)
	if err != nil {
		t.Fatal(err)
	}
	want, err := src.find("/small:1", host)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("checked\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	oras = append(command{"env", "-C", dir, "HOME=" + dir}, oras...)
	const kind = "application/vnd.example.notes"
	if _, err := oras.output(deadline(t), "attach", "--oci-layout", "layout@"+want.Digests[0], "--artifact-type", kind, "notes.txt:text/plain"); err != nil {
		t.Fatal(err)
	}
	p := newProgram(t)
	addr := freeAddr(t)
	p.serve(t, addr)
	lines, err := p.publish(deadline(t), layout, false, "-r", addr)
	if err != nil || len(lines) != 1 {
		t.Fatalf("published %q (%v), want one image: what is attached is none", lines, err)
	}
	name, _, _ := strings.Cut(lines[0], "@")
	out, err := oras.output(deadline(t), "discover", "--plain-http", "--format", "json", name+"@"+want.Digests[0])
	if err != nil {
		t.Fatal(err)
	}
	var found struct {
		Referrers []struct{ ArtifactType, Digest, Reference string } `json:"referrers"`
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil || len(found.Referrers) != 1 || found.Referrers[0].ArtifactType != kind {
		t.Fatalf("oras discovers %s (%v), want one of type %s", out, err, kind)
	}
	if _, err := oras.output(deadline(t), "pull", "--plain-http", "-o", "got", name+"@"+found.Referrers[0].Digest); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "got", "notes.txt")); err != nil || string(text) != "checked\n" {
		t.Errorf("what was attached is %q (%v)", text, err)
	}
}
