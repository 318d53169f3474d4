//go:build e2e

// The registry in the three modes in which engines pull from it.

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// mode is a way in which blobs reach an engine.
type mode struct {
	letter    string // in the table of results
	name      string
	redirects bool
	start     func(*testing.T) *registry
}

var modes = []mode{
	{"D", "embedded direct", false, startDirect},
	{"R", "embedded with redirect", true, startRedirect},
	{"K", "Kubo with redirect", true, startKuboRedirect},
}

// registry is a server with what it was started with.
type registry struct {
	program
	*server
	serveArgs   []string
	publishArgs []string
	gateway     string // where blobs must be redirected to; empty if nowhere
}

// startDirect serves from the embedded node's own store.
func startDirect(t *testing.T) *registry {
	r := &registry{program: newProgram(t)}
	r.server = r.serve(t, freeAddr(t))
	return r
}

// startRedirect lets a second image2ipfs be the first one's gateway.
func startRedirect(t *testing.T) *registry {
	r := &registry{program: newProgram(t)}
	r.gateway = "http://" + r.serve(t, freeAddr(t)).addr
	r.serveArgs = []string{"--gateway", r.gateway}
	r.server = r.serve(t, freeAddr(t), r.serveArgs...)
	return r
}

// startKuboRedirect publishes into Kubo, and lets the server find out by itself
// that Kubo has a gateway.
func startKuboRedirect(t *testing.T) *registry {
	k := startKubo(t)
	r := &registry{program: newProgram(t), gateway: k.gateway}
	r.publishArgs = []string{"--api", k.api}
	r.serveArgs = []string{"--api", k.api}
	r.server = r.serve(t, freeAddr(t), r.serveArgs...)
	return r
}

// checkAnswers looks at how all the engines' requests for blobs were answered:
// with redirects where there is a gateway, never with one where there is none.
// A request that comes before the gateway has answered for a root is streamed.
func (r *registry) checkAnswers(t *testing.T, m mode) {
	t.Helper()
	answers := r.blobsAnswered(t)
	redirected, streamed := answers[http.StatusTemporaryRedirect], answers[http.StatusOK]+answers[http.StatusPartialContent]
	results.progress("%s: %d blobs redirected, %d streamed", m.name, redirected, streamed)
	if m.redirects && redirected <= streamed || !m.redirects && redirected > 0 {
		t.Errorf("%s: %d blobs redirected, %d streamed", m.name, redirected, streamed)
	}
}

// restart replaces the server by a new one at the same address.
func (r *registry) restart(t *testing.T) {
	t.Helper()
	r.stop(t)
	r.server = r.serve(t, r.addr, r.serveArgs...)
}

// accept is what engines accept as a manifest.
const accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, " +
	"application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json"

// check reads an image over plain HTTP and returns its digest. A layer of it
// must come from where the mode says, with the right bytes.
func (r *registry) check(t *testing.T, ref string) string {
	t.Helper()
	repo, tag := strings.TrimPrefix(ref, r.addr+"/"), "latest"
	if i := strings.LastIndex(repo, ":"); i > 0 {
		repo, tag = repo[:i], repo[i+1:]
	}
	raw, digest := r.manifest(t, repo, tag)
	var doc document
	err := json.Unmarshal(raw, &doc)
	if err == nil && len(doc.Manifests) > 0 {
		raw, _ = r.manifest(t, repo, doc.Manifests[0].Digest)
	}
	layers, err := layersOf(raw)
	if err != nil || len(layers) == 0 {
		t.Fatalf("%s: expected a manifest with layers, found %s (%v)", ref, raw, err)
	}
	layer := layers[len(layers)-1]
	eventually(t, ref+": layer "+layer, func() error { return r.checkBlob(repo, layer) })
	return digest
}

// manifest fetches a manifest or index, by tag or digest, with its digest.
func (r *registry) manifest(t *testing.T, repo, reference string) ([]byte, string) {
	t.Helper()
	url := "http://" + r.addr + "/v2/" + repo + "/manifests/" + reference
	req, err := http.NewRequestWithContext(deadline(t), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	raw, resp, err := fetch(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %v, %s", url, err, raw)
	}
	digest := resp.Header.Get("Docker-Content-Digest")
	if digest != digestOf(raw) {
		t.Errorf("GET %s: Docker-Content-Digest %q, bytes are %s", url, digest, digestOf(raw))
	}
	return raw, digest
}

// checkBlob fetches a blob, through the gateway or not as the mode wants it.
func (r *registry) checkBlob(repo, digest string) error {
	req, err := http.NewRequest(http.MethodGet, "http://"+r.addr+"/v2/"+repo+"/blobs/"+digest, nil)
	if err != nil {
		return err
	}
	raw, resp, err := fetch(req)
	if err != nil {
		return err
	}
	if r.gateway != "" {
		location := resp.Header.Get("Location")
		if resp.StatusCode != http.StatusTemporaryRedirect || !strings.HasPrefix(location, r.gateway+"/ipfs/") {
			return fmt.Errorf("expected 307 to %s, found %s to %q", r.gateway, resp.Status, location)
		}
		if req, err = http.NewRequest(http.MethodGet, location, nil); err != nil {
			return err
		}
		if raw, resp, err = fetch(req); err != nil {
			return err
		}
	}
	if resp.StatusCode != http.StatusOK || digestOf(raw) != digest {
		return fmt.Errorf("GET %s: %s, expected %s, found %s", req.URL, resp.Status, digest, digestOf(raw))
	}
	return nil
}

// fetch does a request without following redirects.
func fetch(req *http.Request) ([]byte, *http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return raw, resp, err
}
