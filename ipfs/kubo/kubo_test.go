package kubo

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

func rawCID(t testing.TB, data []byte) cid.Cid {
	t.Helper()
	c, err := cid.V1Builder{Codec: cid.Raw, MhType: mh.SHA2_256}.Sum(data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What users have published has to be there, under its name, for Kubo too.
func TestPublishReadRemove(t *testing.T) {
	d := startKubo(t)
	e := d.store(t)
	if s := e.String(); !strings.HasPrefix(s, "Kubo 0.") || !strings.HasSuffix(s, e.api.url) {
		t.Errorf("String() = %q", s)
	}
	root, stats := publish(t, e, strings.Repeat("image2ipfs ", 300_000), "app:1", "quay.io/a/b:2")
	if stats != (ipfs.Stats{NewBlocks: -1, NewBytes: -1}) {
		t.Errorf("first publication: %+v, want -1 for unknown", stats)
	}
	if got := d.ipfs(t, "cat", "/ipfs/"+root.CID.String()+"/file"); got != strings.Repeat("image2ipfs ", 300_000) {
		t.Errorf("Kubo reads %d other bytes", len(got))
	}
	want := root.CID.String() + " recursive image2ipfs:app:1,quay.io/a/b:2\n"
	if got := d.pins(t); got != want {
		t.Errorf("Kubo pins\n%swant\n%s", got, want)
	}
	roots, err := e.Roots(t.Context())
	if err != nil || !reflect.DeepEqual(roots, []ipfs.Root{root}) {
		t.Errorf("Roots: %v, %v; want %v", roots, err, root)
	}
	if _, stats = publish(t, e, strings.Repeat("image2ipfs ", 300_000), root.Names...); stats != (ipfs.Stats{}) {
		t.Errorf("second publication: %+v, want nothing new", stats)
	}
	for _, g := range []ipfs.Getter{e, e.Offline(), e.Online()} {
		if c, err := ipfs.Resolve(t.Context(), g, root.CID, "file"); err != nil || !c.Defined() {
			t.Errorf("reading: %v", err)
		}
	}
	if err := e.Remove(t.Context(), root.CID); err != nil {
		t.Fatal(err)
	}
	if err := e.Remove(t.Context(), root.CID); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("removing again: %v, want ErrNotFound", err)
	}
	if got := d.pins(t); got != "" {
		t.Errorf("Kubo still pins %s", got)
	}
	if _, err := e.Get(t.Context(), root.CID); err != nil {
		t.Errorf("Kubo's gc was run: %v", err)
	}
}

// Pins that users made themselves must not vanish through us.
func TestForeignPins(t *testing.T) {
	d := startKubo(t)
	e := d.store(t)
	root, _ := publish(t, e, "content", "app:1")
	d.ipfs(t, "pin", "add", "--name=mine", root.CID.String())
	if err := e.Remove(t.Context(), root.CID); !errors.Is(err, ipfs.ErrNotFound) || !strings.Contains(err.Error(), "mine") {
		t.Errorf("removing a foreign pin: %v", err)
	}
	if roots, err := e.Roots(t.Context()); err != nil || len(roots) != 0 {
		t.Errorf("Roots: %v, %v; want none", roots, err)
	}
	publish(t, e, "content", "app:2") // taken over
	if got := d.pins(t); got != root.CID.String()+" recursive image2ipfs:app:2\n" {
		t.Errorf("Kubo pins %s", got)
	}
}

// A registry answers 404 for what is not there; it must not wait for the network.
func TestGetMissing(t *testing.T) {
	d := startKubo(t)
	e := d.store(t)
	c := rawCID(t, []byte("nobody has this"))
	if _, err := e.Get(t.Context(), c); !errors.Is(err, ipfs.ErrNotFound) || !strings.Contains(err.Error(), c.String()) {
		t.Errorf("offline: %v, want ErrNotFound with the CID", err)
	} else {
		t.Log(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := e.Online().Get(ctx, c)
	if !errors.Is(err, ipfs.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("online: %v, want ErrUnavailable, DeadlineExceeded", err)
	}
	t.Log(err)
	d.kill()
	if _, err := e.Get(t.Context(), c); !errors.Is(err, ipfs.ErrUnavailable) {
		t.Errorf("from a dead daemon: %v, want ErrUnavailable", err)
	} else {
		t.Log(err)
	}
}

// Redirected stores need an address at which blobs really are.
func TestGatewayAddress(t *testing.T) {
	d := startKubo(t)
	e := d.store(t)
	got, err := e.Gateway(t.Context())
	if err != nil || got != d.gateway {
		t.Fatalf("Gateway: %q, %v; want %q", got, err, d.gateway)
	}
	root, _ := publish(t, e, "content", "app:1")
	resp, err := http.Get(got + "/ipfs/" + root.CID.String() + "/file")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("the gateway: %v, %v", resp, err)
	}
	resp.Body.Close()
	d.ipfs(t, "config", "Addresses.Gateway", "/ip4/127.0.0.1/tcp/1")
	if _, err := e.Gateway(t.Context()); !errors.Is(err, ipfs.ErrUnavailable) {
		t.Errorf("a gateway that does not answer: %v", err)
	} else {
		t.Log(err)
	}
	d.ipfs(t, "config", "--json", "Addresses.Gateway", "[]")
	if _, err := e.Gateway(t.Context()); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("no gateway: %v", err)
	} else {
		t.Log(err)
	}
}

// Images must land where the user said, and nowhere by guess.
func TestFromEnvironmentRealDaemon(t *testing.T) {
	d := startKubo(t)
	t.Setenv("IPFS_API", "")
	t.Setenv("IPFS_PATH", d.repo)
	if api, ok, err := FromEnvironment("", Credentials{}); err != nil || !ok || api != d.api {
		t.Errorf("IPFS_PATH of a running daemon: %q, %t; want %q", api, ok, d.api)
	}
	d.kill()
	if api, ok, err := FromEnvironment("", Credentials{}); err != nil || ok {
		t.Errorf("IPFS_PATH of a dead daemon (%s): %q", filepath.Join(d.repo, "api"), api)
	}
}
