//go:build e2e && linux

// Redirects: where the client can follow, and nowhere else.

package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// layer is a layer of a published image.
type layer struct{ repo, digest string }

// layerOf publishes an image and finds a layer of it.
func (p program) layerOf(t *testing.T, args ...string) layer {
	t.Helper()
	return p.layerOfFile(t, "big.docker20.tar", args...)
}

func (p program) layerOfFile(t *testing.T, file string, args ...string) layer {
	t.Helper()
	lines, err := p.publish(deadline(t), archivePath(t, file), false, args...)
	if err != nil || len(lines) != 1 {
		t.Fatalf("publishing: %q, %v", lines, err)
	}
	_, name, _ := strings.Cut(lines[0], "/")
	text, err := p.command().output(deadline(t), append([]string{"inspect", "--json", name}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	var said struct {
		Images []struct {
			Manifests []struct{ Layers []struct{ Digest string } }
		}
	}
	if err := json.Unmarshal([]byte(text), &said); err != nil {
		t.Fatal(err)
	}
	repo, _, _ := strings.Cut(name, ":")
	return layer{repo, said.Images[0].Manifests[0].Layers[0].Digest}
}

// answer is what a client got for a layer, by which redirects.
type answer struct {
	*http.Response
	via  []string
	body string // the beginning of what was sent
}

// from asks a registry for the layer, or for ranges of it, following redirects. A
// whole layer must be that.
func (l layer) from(client *http.Client, addr, ranges string) (answer, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+addr+"/v2/"+l.repo+"/blobs/"+l.digest, nil)
	if err != nil {
		return answer{}, err
	}
	if ranges != "" {
		req.Header.Set("Range", ranges)
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	var begin bytes.Buffer
	hash := sha256.New()
	if _, err := io.Copy(io.MultiWriter(hash, &begin), io.LimitReader(resp.Body, 1024)); err != nil {
		return answer{}, err
	}
	if _, err := io.Copy(hash, resp.Body); err != nil {
		return answer{}, err
	}
	a := answer{Response: resp, body: begin.String()}
	for r := resp.Request.Response; r != nil; r = r.Request.Response {
		a.via = append(a.via, r.Request.URL.String())
	}
	if digest := fmt.Sprintf("sha256:%x", hash.Sum(nil)); ranges == "" && (resp.StatusCode != http.StatusOK || digest != l.digest) {
		return a, fmt.Errorf("%s: %s, expected %s, found %s by way of %v", req.URL, resp.Status, l.digest, digest, a.via)
	}
	return a, nil
}

// wantHere asks several times and must never be redirected.
func (l layer) wantHere(t *testing.T, client *http.Client, addr string) {
	t.Helper()
	for range 3 {
		if a, err := l.from(client, addr, ""); err != nil || len(a.via) > 0 {
			t.Errorf("%s: by way of %v, %v", addr, a.via, err)
		}
	}
}

// wantRedirected waits until clients are sent away, for other bytes of the layer
// each time: who repeats a request is served where it asks.
func (l layer) wantRedirected(t *testing.T, client *http.Client, addr string) {
	t.Helper()
	n := 0
	eventually(t, addr+" redirects", func() error {
		n++
		a, err := l.from(client, addr, fmt.Sprintf("bytes=%d-", n))
		if err == nil && (len(a.via) != 1 || a.StatusCode != http.StatusPartialContent) {
			err = fmt.Errorf("%s by way of %v", a.Status, a.via)
		}
		return err
	})
}

// serveFor runs a server while use runs.
func (p program) serveFor(t *testing.T, use func(addr string), args ...string) {
	t.Helper()
	s := p.serve(t, freeAddr(t), args...)
	use(s.addr)
	s.stop(t)
}

// TestTrustlessOnlyKubo has a Kubo that gives no files by path: engines would get
// 406 there for each layer.
func TestTrustlessOnlyKubo(t *testing.T) {
	t.Parallel()
	k := startKubo(t, "config", "--json", "Gateway.DeserializedResponses", "false")
	p := newProgram(t)
	l := p.layerOf(t, "--api", k.api)
	here := func(addr string) { l.wantHere(t, http.DefaultClient, addr) }
	p.serveFor(t, here, "--api", k.api)
	p.serveFor(t, here, "--api", k.api, "--gateway", k.gateway)
	said, _ := p.command().output(deadline(t), "doctor", "--gateway", k.gateway, "docker") // which is not there
	if !strings.Contains(said, "ok       gateway "+k.gateway) || !strings.Contains(said, "no client can be redirected there") {
		t.Errorf("doctor says\n%s", said)
	}
	nothing := newProgram(t) // of its own: it has all from the gateway
	nothing.serveFor(t, here, "--gateway", k.gateway)
	nothing.serveFor(t, here, "--source", k.gateway)
}

// TestSourceIsNoTarget reads from a gateway that serves files by path, and sends
// nobody there.
func TestSourceIsNoTarget(t *testing.T) {
	t.Parallel()
	k := startKubo(t)
	l := newProgram(t).layerOf(t, "--api", k.api)
	nothing := newProgram(t)
	nothing.serveFor(t, func(addr string) { l.wantHere(t, http.DefaultClient, addr) }, "--source", k.gateway)
	nothing.serveFor(t, func(addr string) { l.wantRedirected(t, http.DefaultClient, addr) }, "--gateway", k.gateway)
}

// TestSeveralRangesThroughKubo asks for two ranges: Kubo's gateway would answer
// with the first alone, and podman fails at that.
func TestSeveralRangesThroughKubo(t *testing.T) {
	t.Parallel()
	k := startKubo(t)
	p := newProgram(t)
	l := p.layerOf(t, "--api", k.api)
	p.serveFor(t, func(addr string) {
		l.wantRedirected(t, http.DefaultClient, addr)
		a, err := l.from(http.DefaultClient, addr, "bytes=0-9,100-109")
		if err != nil || a.StatusCode != http.StatusPartialContent || !strings.HasPrefix(a.Header.Get("Content-Type"), "multipart/byteranges") || len(a.via) > 0 {
			t.Errorf("two ranges: %+v, %v", a, err)
		}
	}, "--api", k.api)
}

// TestLoopbackGatewayFromElsewhere pulls from another machine than that whose
// loopback has the gateway.
func TestLoopbackGatewayFromElsewhere(t *testing.T) {
	t.Parallel()
	net := newLab(t)
	a, b := net.machine(t), net.machine(t)
	l := a.layerOf(t)
	near, far := a.serve(t, "127.0.0.1:8080"), a.serve(t, a.m.IP+":8080")
	s := a.serve(t, a.m.IP+":5000", "--gateway", "http://"+near.addr)
	l.wantHere(t, b.client, s.addr)
	here := a.serve(t, "127.0.0.1:5000", "--gateway", "http://"+near.addr)
	l.wantRedirected(t, a.client, here.addr)
	both := a.serve(t, a.m.IP+":5001", "--gateway", "http://"+near.addr, "--gateway", "http://"+far.addr)
	l.wantRedirected(t, b.client, both.addr)
}

// TestCraneAndPrivateGateway has crane, which refuses to be sent to another host with a
// private address, pull from a server whose gateway has one: it is served there, where
// another client is redirected.
func TestCraneAndPrivateGateway(t *testing.T) {
	t.Parallel()
	crane := commandFor("crane")
	if crane == nil {
		missing(t, "crane and a gateway with a private address", "crane is not there (hack/engines.sh tools builds it)")
		t.SkipNow()
	}
	net := newLab(t)
	a, b, c := net.machine(t), net.machine(t), net.machine(t)
	l := a.layerOf(t)
	gateway := a.serve(t, a.m.IP+":8080")
	name := b.published(t, "big.docker20.tar")
	s := b.serve(t, b.m.IP+":5000", "--gateway", "http://"+gateway.addr)
	l.wantRedirected(t, c.client, s.addr)
	far := append(command(c.m.Prefix()), crane...)
	if _, err := far.output(deadline(t), "pull", "--insecure", "--format", "oci", s.addr+"/"+name, filepath.Join(t.TempDir(), "layout")); err != nil {
		t.Errorf("%v\n%s", err, s.lastLines())
	}
	s.blobsAnswered(t) // an error where crane was redirected
	served := 0
	for _, r := range s.requests(t) {
		if strings.Contains(r.Agent, "go-containerregistry") && strings.Contains(r.Path, "/blobs/") && r.Method == http.MethodGet && r.Status == http.StatusOK {
			served++
		}
	}
	if served < 2 {
		t.Errorf("crane got %d blobs from the server, expected the config and a layer at least", served)
	}
}
