package network

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/image2ipfs/image2ipfs/internal/metric/metrictest"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/p2p"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

func newStore(t *testing.T) *packstore.Store {
	t.Helper()
	s, err := packstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// publish publishes an image layout.
func publish(t *testing.T, s *packstore.Store) cid.Cid {
	t.Helper()
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Abort()
	l := testlayout.New(t, tx)
	root := l.Publish(l.Image("amd64", []byte("a layer")))
	if _, err := tx.Commit(t.Context(), ipfs.Root{CID: root}); err != nil {
		t.Fatal(err)
	}
	return root
}

func closed(t *testing.T, n *Network) {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

// One machine serves what it keeps, another gets it from there, has it cached from
// then on, and other processes of the first are told of it.
func TestServeAndJoin(t *testing.T) {
	publisher, puller := newStore(t), newStore(t)
	root := publish(t, publisher)
	before, err := ReadIdentity(t.Context(), publisher.Path())
	if err != nil || before.Running || len(before.Addrs) > 0 {
		t.Fatalf("before it runs: %+v, %v", before, err)
	}
	server, err := Serve(t.Context(), publisher, Config{Node: p2p.Config{Listen: []string{"/ip4/127.0.0.1/tcp/0"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, server)
	id, err := ReadIdentity(t.Context(), publisher.Path())
	if err != nil || id.ID != before.ID || !id.Running || len(id.Addrs) == 0 {
		t.Fatalf("%+v, %v; want %s, running", id, err, before.ID)
	}
	if _, err := Serve(t.Context(), publisher, Config{}); err == nil {
		t.Error("a second server runs on the store")
	}
	client, err := Join(t.Context(), puller, Config{Node: p2p.Config{Peers: id.Addrs}, CacheSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, client)
	data, err := client.Blocks().Get(t.Context(), root)
	if err != nil || ipfs.VerifyBlock(root, data) != nil {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	if cached, err := client.Local().Get(t.Context(), root); err != nil || !bytes.Equal(cached, data) {
		t.Errorf("from the cache: %d bytes, %v", len(cached), err)
	}
	peers, err := Peers(t.Context(), publisher.Path())
	if err != nil || len(peers) != 1 || peers[0].BlocksOut != 1 {
		t.Errorf("peers %+v, %v; want one that got a block", peers, err)
	}
	tried(t, publisher.Path(), "gave a block in ", true, false)
	metrictest.Complete(t, server.Metrics(), Metrics())
	if problems, err := testutil.CollectAndLint(server.Metrics()); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v, %v", problems, err)
	}
}

// tried has the server of a store ask its peers for a block.
func tried(t *testing.T, dir, says string, gave, failed bool) {
	t.Helper()
	trials, ok, err := Try(t.Context(), dir)
	if err != nil || !ok {
		t.Fatalf("%+v, %v, %v", trials, ok, err)
	}
	text, g, f := Outcome(trials)
	if !strings.Contains(text, says) || g != gave || f != failed {
		t.Errorf("%q, gave %v, failed %v; want %q, %v, %v", text, g, f, says, gave, failed)
	}
}

// A peer that is to be there and is not is told of.
func TestTryWithoutPeers(t *testing.T) {
	alone, missing := newStore(t), newStore(t)
	if _, _, err := Try(t.Context(), alone.Path()); !errors.Is(err, ipfs.ErrUnavailable) {
		t.Errorf("without a server: %v", err)
	}
	listen := []string{"/ip4/127.0.0.1/tcp/0"}
	a, err := Serve(t.Context(), alone, Config{Node: p2p.Config{Listen: listen}})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, a)
	tried(t, alone.Path(), "", false, false)
	const id = "12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X"
	b, err := Serve(t.Context(), missing, Config{Node: p2p.Config{Listen: listen, Peers: []string{"/ip4/127.0.0.1/tcp/1/p2p/" + id, "/ip4/127.0.0.1/udp/1/quic-v1/p2p/" + id}}})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, b)
	tried(t, missing.Path(), "peer "+id+" gave none: it is not connected", false, true)
	if trials, _, _ := Try(t.Context(), missing.Path()); len(trials) != 1 {
		t.Errorf("%+v", trials)
	}
	if text, gave, failed := Outcome([]Trial{{Peers: []string{id}, Outcome: Lacks}, {Peers: []string{"x", "y"}, Protocol: "bitswap", Outcome: Gave}}); !strings.Contains(text, "older version") || !strings.Contains(text, "of 2 by bitswap one gave") || !gave || failed {
		t.Errorf("%q", text)
	}
}

// As long as no peer has answered, nobody knows that a block is nowhere.
func TestNobodyAnswers(t *testing.T) {
	n, err := Join(t.Context(), newStore(t), Config{Node: p2p.Config{Peers: []string{"/ip4/127.0.0.1/tcp/1/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, n)
	_, err = n.Blocks().Get(t.Context(), cid.MustParse("bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"))
	if !errors.Is(err, ipfs.ErrUnavailable) || errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
	if _, err := Peers(t.Context(), t.TempDir()); !errors.Is(err, ipfs.ErrUnavailable) {
		t.Errorf("peers without a server: %v, want ErrUnavailable", err)
	}
}

// While none of the peers that a server is to have is there, it does not know that a block
// is nowhere, and may know more in a moment; one that is to have none knows it.
func TestNobodyIsThereYet(t *testing.T) {
	nowhere := cid.MustParse("bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy")
	listen := []string{"/ip4/127.0.0.1/tcp/0"}
	for name, test := range map[string]struct {
		node    p2p.Config
		awaited bool
	}{
		"nobody is to be there": {p2p.Config{Listen: listen}, false},
		"a peer is":             {p2p.Config{Listen: listen, Peers: []string{"/ip4/127.0.0.1/tcp/1/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X"}}, true},
		"peers behind a name":   {p2p.Config{Listen: listen, Peers: []string{"dns:peers.invalid"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := Serve(t.Context(), newStore(t), Config{Node: test.node})
			if err != nil {
				t.Fatal(err)
			}
			defer closed(t, n)
			_, err = n.Blocks().Get(t.Context(), nowhere)
			if errors.Is(err, ipfs.ErrUnavailable) != test.awaited || errors.Is(err, ipfs.ErrOneBlock) != test.awaited || errors.Is(err, ipfs.ErrNotFound) == test.awaited {
				t.Errorf("%v", err)
			}
		})
	}
}

// A root and its manifests can be found by whoever wants the image; its layers need
// not be, and an old or a damaged image is found by its root at least.
func TestAnnounced(t *testing.T) {
	s := newStore(t)
	root := publish(t, s)
	other, _ := storetest.Publish(t, s, map[string][]byte{"file": []byte("no layout")})
	a := &announcer{store: s}
	for range 2 { // remembered the second time
		all, err := a.list(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		l, err := ipfs.OpenLayout(t.Context(), s, root)
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := l.Locate(t.Context(), l.Index.Manifests[0].Digest)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []cid.Cid{root, manifest, other} {
			if !slices.Contains(all, want) {
				t.Errorf("%s is not announced", want)
			}
		}
		if len(all) != 3 {
			t.Errorf("%d announced, want 3: %v", len(all), all)
		}
	}
}
