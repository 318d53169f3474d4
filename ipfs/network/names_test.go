package network

import (
	"context"
	"errors"
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
	o := names.Options{Several: []ipfs.RecordsSource{n.Records()}}
	sinks := []ipfs.RecordSink{n.Records()}
	if d := n.DHT(); d != nil {
		o, sinks = names.Options{Sources: []ipfs.RecordSource{d}}, []ipfs.RecordSink{d}
	}
	out.resolver = names.NewResolver(out.names, o)
	t.Cleanup(func() { out.resolver.Close() })
	n.UseNames(out.resolver)
	out.publisher = names.NewPublisher(out.names, out.resolver, sinks, nil)
	return out
}

// move moves a name and tells others; it waits until somebody takes it.
func (n *node) move(t *testing.T, k names.Key, to string) names.Record {
	t.Helper()
	r, err := n.publisher.Publish(t.Context(), k, names.Move{}, func(context.Context) (string, error) { return to, nil })
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

// A name moves from machine to machine, also through one that does not know it, and a
// move is seen at once by those that are connected, long before the record's TTL ends.
func TestNamesOverPeers(t *testing.T) {
	owner := newNode(t, p2p.Config{})
	between := newNode(t, p2p.Config{Peers: owner.node.Addrs()})
	far := newNode(t, p2p.Config{Peers: between.node.Addrs()})
	k, err := owner.names.Create("app")
	if err != nil {
		t.Fatal(err)
	}
	owner.move(t, k, pathOne)
	awaited(t, func() bool { return means(t, far, k.Name, pathOne) })
	owner.move(t, k, pathTwo)
	awaited(t, func() bool { return means(t, far, k.Name, pathTwo) })

	// Who sends what nobody has signed, or what is older, changes nothing.
	if _, err := far.resolver.Offer(k.Name, []byte("x")); !errors.Is(err, names.ErrForged) {
		t.Errorf("forged: %v", err)
	}
	old, err := names.NewPublisher(owner.names, owner.resolver, nil, nil).Publish(t.Context(), k, names.Move{}, func(context.Context) (string, error) { return pathOne, nil })
	if err != nil {
		t.Fatal(err)
	}
	if newer, err := far.resolver.Offer(k.Name, old.Raw); err != nil || !newer {
		t.Errorf("the next: %v, %v", newer, err)
	}
	if newer, err := far.resolver.Offer(k.Name, old.Raw); err != nil || newer {
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
	owner.move(t, k, pathOne)
	awaited(t, func() bool { return means(t, asker, k.Name, pathOne) })
}
