package network

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/names"
	"github.com/image2ipfs/image2ipfs/ipfs/p2p"
)

// node is a machine with a store, peers and names.
type node struct {
	*Network
	names     *names.Store
	resolver  *names.Resolver
	publisher *names.Publisher
}

func newNode(t *testing.T, cfg p2p.Config) *node {
	t.Helper()
	s := newStore(t)
	cfg.Listen = []string{"/ip4/127.0.0.1/tcp/0"}
	n, err := Serve(t.Context(), s, Config{Node: cfg})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, n) })
	out := &node{Network: n, names: names.NewStore(names.Dir(s.Path()))}
	all := n.Records() // a DHT is asked alone, so that it is seen to be enough
	var places names.Places
	places.Add(all[len(all)-1])
	out.resolver = names.NewResolver(out.names, names.Options{Several: places.Several})
	t.Cleanup(func() { out.resolver.Close() })
	n.UseNames(out.resolver)
	out.publisher = names.NewPublisher(out.names, out.resolver, names.PublisherOptions{Sinks: places.Sinks})
	return out
}

// move moves a name and tells others; it waits until somebody takes it.
func (n *node) move(t *testing.T, k names.Key, to string, ttl time.Duration) names.Record {
	t.Helper()
	r, err := n.publisher.Publish(t.Context(), k, names.Move{TTL: ttl}, func(context.Context) (string, error) { return to, nil })
	if err != nil {
		t.Fatal(err)
	}
	awaited(t, func() bool { return len(n.publisher.Send(t.Context(), r).To) > 0 })
	return r
}

func awaited(t *testing.T, ok func() bool) {
	t.Helper()
	for begun := time.Now(); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatal("it does not happen")
		}
	}
}

const pathOne, pathTwo = "/ipfs/bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi", "/ipfs/bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"

func means(t *testing.T, n *node, name, path string) bool {
	m, err := n.resolver.Find(t.Context(), name)
	return err == nil && "/ipfs/"+m.Root.String() == path
}

// A name is found through peers, also through one that does not know it; who knows it and
// is connected sees a move at once, others when the record's TTL is over.
func TestNamesOverPeers(t *testing.T) {
	owner := newNode(t, p2p.Config{})
	near := newNode(t, p2p.Config{Peers: owner.node.Addrs()})
	between := newNode(t, p2p.Config{Peers: owner.node.Addrs()})
	far := newNode(t, p2p.Config{Peers: between.node.Addrs()})
	k, err := owner.names.Create("app")
	if err != nil {
		t.Fatal(err)
	}
	owner.move(t, k, pathOne, time.Hour)
	for _, n := range []*node{near, far} {
		awaited(t, func() bool { return means(t, n, k.Name, pathOne) })
	}
	owner.move(t, k, pathTwo, time.Second)
	awaited(t, func() bool { return means(t, near, k.Name, pathTwo) })
	if _, _, ok := between.resolver.Kept(k.Name); ok {
		t.Error("who did not ask for a name keeps its record")
	}
	fresh := newNode(t, p2p.Config{Peers: between.node.Addrs()})
	awaited(t, func() bool { return means(t, fresh, k.Name, pathTwo) })
	owner.move(t, k, pathOne, time.Second)
	awaited(t, func() bool { return means(t, fresh, k.Name, pathOne) })

	// Who sends what nobody has signed, or what is older, changes nothing.
	if _, err := near.resolver.Offer(k.Name, []byte("x")); !errors.Is(err, names.ErrForged) {
		t.Errorf("forged: %v", err)
	}
	old, err := names.NewPublisher(owner.names, owner.resolver, names.PublisherOptions{}).Publish(t.Context(), k, names.Move{}, func(context.Context) (string, error) { return pathTwo, nil })
	if err != nil {
		t.Fatal(err)
	}
	if newer, err := near.resolver.Offer(k.Name, old.Raw); err != nil || !newer {
		t.Errorf("the next: %v, %v", newer, err)
	}
	if newer, err := near.resolver.Offer(k.Name, old.Raw); err != nil || newer {
		t.Errorf("the same again: %v, %v", newer, err)
	}
}

// In a DHT of one's own nodes names are found by who is not connected to their owner.
func TestNamesInOwnDHT(t *testing.T) {
	first := newNode(t, p2p.Config{Bootstrap: []string{"/ip4/127.0.0.1/tcp/1/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X"}})
	other := newNode(t, p2p.Config{Bootstrap: first.node.Addrs()})
	owner, asker := newNode(t, p2p.Config{Bootstrap: first.node.Addrs()}), newNode(t, p2p.Config{Bootstrap: other.node.Addrs()})
	k, err := owner.names.Create("app")
	if err != nil {
		t.Fatal(err)
	}
	owner.move(t, k, pathOne, 0)
	awaited(t, func() bool { return means(t, asker, k.Name, pathOne) })
}

// occupy takes all places that a peer has, until leave is called.
func (n *node) occupy(t *testing.T, peer string) (leave func()) {
	t.Helper()
	var all []func()
	for range maxAnswersOfPeer {
		_, l, ok := n.Network.names.enter(peer)
		if !ok {
			t.Fatal("a peer has no place of its own")
		}
		all = append(all, l)
	}
	return func() {
		for _, l := range all {
			l()
		}
	}
}

// Answers to others are bounded: a question that has gone far enough is not asked on, and
// what is no name, no record or too much is refused.
func TestNamesProtocol(t *testing.T) {
	owner := newNode(t, p2p.Config{})
	between := newNode(t, p2p.Config{Peers: owner.node.Addrs()})
	k, err := owner.names.Create("app")
	if err != nil {
		t.Fatal(err)
	}
	rec := owner.move(t, k, pathOne, time.Hour)
	for _, test := range []struct {
		method, path, hops string
		body               []byte
		want               int
	}{
		{"GET", namesPath + k.Name, "0", nil, http.StatusNotFound}, // it is not asked on
		{"GET", namesPath + k.Name, "x", nil, http.StatusNotFound},
		{"GET", namesPath + k.Name, "1", nil, http.StatusOK},
		{"GET", namesPath + k.Name, "99", nil, http.StatusOK},
		{"GET", namesPath + "app", "1", nil, http.StatusBadRequest},
		{"PUT", namesPath + k.Name, "1", []byte("x"), http.StatusBadRequest},
		{"PUT", namesPath + k.Name, "1", make([]byte, 2*ipfs.MaxRecord), http.StatusBadRequest},
		{"PUT", namesPath + k.Name, "1", rec.Raw, http.StatusNoContent}, // looked at, and not kept
		{"DELETE", namesPath + k.Name, "1", nil, http.StatusMethodNotAllowed},
	} {
		r := httptest.NewRequest(test.method, test.path, bytes.NewReader(test.body))
		r.Header.Set(headerHops, test.hops)
		w := httptest.NewRecorder()
		between.answerName(w, r)
		if w.Code != test.want || test.want == http.StatusOK && !bytes.Equal(w.Body.Bytes(), rec.Raw) {
			t.Errorf("%s %s, hops %s: %d %q, want %d", test.method, test.path, test.hops, w.Code, w.Body, test.want)
		}
	}
	if _, _, ok := between.resolver.Kept(k.Name); ok {
		t.Error("a peer has made this node keep a record")
	}
	leave := between.occupy(t, "peer")
	if _, _, ok := between.Network.names.enter("peer"); ok {
		t.Error("a peer has more places than it may")
	}
	if _, l, ok := between.Network.names.enter("other"); !ok {
		t.Error("one peer keeps another out")
	} else {
		l()
	}
	leave()
	if between.Network.names.all != 0 || len(between.Network.names.running) != 0 {
		t.Error("places are not given back")
	}
}

// While no peer is connected a name is not unknown, and the error says why.
func TestNameWithoutPeers(t *testing.T) {
	alone, elsewhere := newNode(t, p2p.Config{}), names.NewStore(t.TempDir())
	k, err := elsewhere.Create("app")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alone.resolver.Find(t.Context(), k.Name); !errors.Is(err, ipfs.ErrUnavailable) || errors.Is(err, names.ErrUnknown) || !strings.Contains(err.Error(), "no peer is connected") {
		t.Error(err)
	}
}

// A peer that has too much to do for the moment is asked again.
func TestBusyPeerIsAskedAgain(t *testing.T) {
	owner := newNode(t, p2p.Config{})
	asker := newNode(t, p2p.Config{Peers: owner.node.Addrs()})
	k, err := owner.names.Create("app")
	if err != nil {
		t.Fatal(err)
	}
	owner.move(t, k, pathOne, time.Hour)
	leave := owner.occupy(t, asker.node.ID())
	time.AfterFunc(2*busyPause, leave)
	if _, err := asker.resolver.Find(t.Context(), k.Name); err != nil {
		t.Error(err)
	}
}
