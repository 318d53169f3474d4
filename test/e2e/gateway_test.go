//go:build e2e && linux

// The gateway of `serve` beside Kubo's, which is what IPFS's own suite of conformance
// is written by: the same blocks in the same order for the same question.

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs/car"
	"github.com/image2ipfs/image2ipfs/ref"
)

// gatewayAnswer is what matters of an answer: a CAR's blocks, or what another one says.
type gatewayAnswer struct {
	status int
	kind   string // Content-Type, with its parameters sorted
	blocks []string
	etag   string
}

// askGateway asks one; accept may be empty.
func askGateway(gateway, path, accept string) (a gatewayAnswer, err error) {
	req, err := http.NewRequest(http.MethodGet, gateway+path, nil)
	if err != nil {
		return a, err
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	parameters := strings.Split(strings.ReplaceAll(resp.Header.Get("Content-Type"), " ", ""), ";")
	slices.Sort(parameters)
	a = gatewayAnswer{status: resp.StatusCode, kind: strings.Join(parameters, ";"), etag: resp.Header.Get("Etag")}
	switch {
	case a.status != http.StatusOK:
		a.kind, a.etag = "", ""
	case slices.Contains(parameters, car.MediaType):
		err = car.Read(bufio.NewReader(resp.Body), func(c cid.Cid, data []byte) error {
			a.blocks = append(a.blocks, fmt.Sprintf("%x of %d", c.Hash(), len(data)))
			return nil
		})
	default:
		data, failed := io.ReadAll(resp.Body)
		a.blocks, err = []string{digestOf(data)}, failed
	}
	return a, err
}

// entityBytes names the scope, too: Kubo passes over entity-bytes without it, against
// the specification.
const entityBytes = "&dag-scope=entity&entity-bytes="

func TestGatewayAsKubo(t *testing.T) {
	t.Parallel()
	k := startKubo(t)
	p := newProgram(t)
	l := p.layerOfFile(t, "small.docker20.tar", "--api", k.api)
	name, err := ref.ParseName(l.repo + ":1")
	if err != nil {
		t.Fatal(err)
	}
	s := p.serve(t, freeAddr(t), "--api", k.api, "--no-redirect")
	root := "/ipfs/" + name.Root.String()
	layer := root + "/blobs/sha256/" + strings.TrimPrefix(l.digest, "sha256:")
	var paths []string
	for _, path := range []string{root, root + "/index.json", root + "/blobs/sha256", layer} {
		for _, query := range []string{"&dag-scope=block", "&dag-scope=entity", entityBytes + "0:*", entityBytes + "0:0", entityBytes + "-5:*"} {
			paths = append(paths, path+"?format=car"+query)
		}
	}
	for _, bytes := range []string{"0:99", "131071:131072", "200000:*", "-150000:-100000", "-999999999:*", "-999999999:-3", "5:-10", "0:99999999999"} {
		paths = append(paths, layer+"?format=car"+entityBytes+bytes)
	}
	paths = append(paths, root+"?format=car", layer+"?format=car&dag-scope=all", root+"?format=raw", root+"/index.json?format=raw",
		root+"?format=car&dag-scope=some", "/ipfs/bafkqaaa?format=raw", "/ipfs/bafkqaaa?format=car", root+"/index.json")
	for _, path := range paths {
		for _, accept := range []string{"", car.MediaType + "; version=1; order=dfs; dups=y", car.MediaType + "; version=1; order=dfs; dups=n"} {
			if accept != "" && !strings.Contains(path, "format=car") {
				continue
			}
			want, err := askGateway(k.gateway, path, accept)
			if err != nil {
				t.Fatalf("Kubo, %s: %v", path, err)
			}
			got, err := askGateway("http://"+s.addr, path, accept)
			if err != nil {
				t.Errorf("%s: %v", path, err)
			}
			if got.status != want.status || got.kind != want.kind || !slices.Equal(got.blocks, want.blocks) || (got.etag == "") != (want.etag == "") {
				t.Errorf("%s, Accept %q:\n%d %s, %d blocks\nKubo:\n%d %s, %d blocks", path, accept, got.status, got.kind, len(got.blocks), want.status, want.kind, len(want.blocks))
			}
		}
	}
}
