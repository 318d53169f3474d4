package kubo

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// A proxy of IPFS Cluster drops the names of pins: what is a layout there is listed by the
// names in it, and can be removed, and nothing else is ours.
func TestCluster(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	image := l.Image("amd64", []byte("layer"))
	root := l.Publish(oci.Named(image, "docker.io/team/app:1"))
	link, err := ipfs.AddFile(t.Context(), blocks, strings.NewReader("a file of somebody"))
	if err != nil {
		t.Fatal(err)
	}
	away := cid.MustParse("bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")
	proxy := &fakeProxy{blocks: blocks, pins: []cid.Cid{root, link.CID, away}}
	e := dialFake(t, proxy.ServeHTTP)
	for range 2 {
		roots, err := e.Roots(t.Context())
		if err != nil || len(roots) != 1 || !roots[0].CID.Equals(root) || strings.Join(roots[0].Names, " ") != "team/app:1" {
			t.Fatalf("%+v %v", roots, err)
		}
	}
	if reads := proxy.reads.Load(); reads > 12 {
		t.Errorf("%d blocks were read to list two times what does not change", reads)
	}
	for _, c := range []cid.Cid{link.CID, away, cid.MustParse(emptyDir)} {
		if err := e.Remove(t.Context(), c); !errors.Is(err, ipfs.ErrNotFound) {
			t.Errorf("removing %s, which is no image: %v", c, err)
		}
	}
	if err := e.Remove(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	if roots, err := e.Roots(t.Context()); err != nil || len(roots) != 0 {
		t.Errorf("after its removal: %+v %v", roots, err)
	}
}

// fakeProxy answers as the proxy of IPFS Cluster does.
type fakeProxy struct {
	blocks *testlayout.Blocks
	reads  atomic.Int64

	mu   sync.Mutex
	pins []cid.Cid
}

func (p *fakeProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	arg := r.URL.Query().Get("arg")
	fail := func(message string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, `{"Message":%q,"Code":0,"Type":"error"}`, message)
	}
	is := func(c cid.Cid) bool { return c.String() == arg }
	if strings.HasPrefix(r.URL.Path, "/api/v0/pin/") {
		w.Header().Set("Server", "ipfs-cluster/ipfsproxy/1.1.6")
	}
	switch strings.TrimPrefix(r.URL.Path, "/api/v0/") {
	case "pin/ls":
		if arg != "" && !slices.ContainsFunc(p.pins, is) {
			fail("Error: path '" + arg + "' is not pinned")
			return
		}
		for _, c := range p.pins {
			if arg == "" || is(c) {
				fmt.Fprintf(w, `{"Cid":%q,"Type":"recursive"}`+"\n", c)
			}
		}
	case "pin/rm":
		p.pins = slices.DeleteFunc(p.pins, is)
		fmt.Fprintf(w, `{"Pins":[%q]}`, arg)
	case "block/get":
		p.reads.Add(1)
		data, err := p.blocks.Get(r.Context(), cid.MustParse(arg))
		if err != nil {
			fail("block was not found locally (offline): ipld: could not find " + arg)
			return
		}
		_, _ = w.Write(data)
	default:
		fail("asked for " + r.URL.Path)
	}
}
