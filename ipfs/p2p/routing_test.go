package p2p

import (
	"context"
	"errors"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/boxo/routing/http/server"
	"github.com/ipfs/boxo/routing/http/types"
	"github.com/ipfs/boxo/routing/http/types/iter"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// In a DHT of a few nodes, who announces a block is found by who only knows a
// third node, and gives the block.
func TestDHT(t *testing.T) {
	first := start(t, listening(Config{Bootstrap: []string{"/ip4/127.0.0.1/tcp/1/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X"}}))
	other := start(t, listening(Config{Bootstrap: first.Addrs()}))
	var have memory
	c := have.add([]byte("announced"))
	ready(t, other)
	provider := start(t, listening(Config{
		Bootstrap: first.Addrs(), Blocks: &have,
		Announce: func(context.Context) ([]cid.Cid, error) { return []cid.Cid{c}, nil },
	}))
	reader := start(t, Config{Bootstrap: other.Addrs()})
	ready(t, reader)
	await(t, "the provider is found", func() bool { return reader.Find(t.Context(), c) == nil })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := reader.Blocks(ctx, []cid.Cid{c}, func(cid.Cid, []byte) error { return nil }); err != nil {
		t.Error(err)
	}
	found, err := reader.Providers(t.Context(), c)
	if err != nil || len(found) != 1 || found[0].ID != provider.ID() || found[0].Router != "the DHT of the bootstrap peers" {
		t.Errorf("providers %+v, %v; want %s", found, err, provider.ID())
	}
	if _, err := start(t, Config{Peers: first.Addrs()}).Providers(t.Context(), c); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v, want %v", err, errors.ErrUnsupported)
	}
	if err := reader.Find(t.Context(), rawCID([]byte("nowhere"))); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("got %v, want %v", err, ipfs.ErrNotFound)
	}
}

// delegated is a routing server of a test.
type delegated struct {
	server.DelegatedRouter // what is not asked for here

	mu        sync.Mutex
	providers map[cid.Cid]types.PeerRecord
	fails     int // how many announcements are refused first
	told      int
}

func (d *delegated) FindProviders(_ context.Context, c cid.Cid, _ int) (iter.ResultIter[types.Record], error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var found []iter.Result[types.Record]
	if p, ok := d.providers[c]; ok {
		found = append(found, iter.Result[types.Record]{Val: &p})
	}
	return iter.FromSlice(found), nil
}

func (d *delegated) ProvideBitswap(_ context.Context, r *server.BitswapWriteProvideRequest) (time.Duration, error) { //nolint:staticcheck // deprecated, but the only announcement that servers take
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.told++; d.told <= d.fails {
		return 0, errors.New("not now")
	}
	for _, c := range r.Keys {
		id := r.ID
		d.providers[c] = types.PeerRecord{Schema: types.SchemaPeer, ID: &id, Protocols: []string{"transport-bitswap"}}
		p := d.providers[c]
		for _, a := range r.Addrs {
			p.Addrs = append(p.Addrs, types.Multiaddr{Multiaddr: a})
		}
		d.providers[c] = p
	}
	return time.Hour, nil
}

// A routing server that takes announcements is told, and leads to who announced.
func TestDelegatedRouting(t *testing.T) {
	d := &delegated{providers: map[cid.Cid]types.PeerRecord{}}
	web := httptest.NewServer(server.Handler(d))
	defer web.Close()
	var have memory
	c := have.add([]byte("announced"))
	a := start(t, listening(Config{
		Blocks: &have, Routing: []string{web.URL},
		Announce: func(context.Context) ([]cid.Cid, error) { return []cid.Cid{c}, nil },
	}))
	b := start(t, Config{Routing: []string{web.URL + "/"}})
	ready(t, b)
	await(t, "a is found", func() bool { return b.Find(t.Context(), c) == nil })
	if !knows(b, a.ID()) {
		t.Errorf("connected to %v, want %s", b.Connected(), a.ID())
	}
	if err := b.Blocks(t.Context(), []cid.Cid{c}, func(cid.Cid, []byte) error { return nil }); err != nil {
		t.Error(err)
	}
	if err := b.Find(t.Context(), rawCID([]byte("nowhere"))); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("got %v, want %v", err, ipfs.ErrNotFound)
	}
}

// A server that is down, or a provider that is, is no hang and no success.
func TestRoutingThatLeadsNowhere(t *testing.T) {
	gone, err := peer.Decode("12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X")
	if err != nil {
		t.Fatal(err)
	}
	c := rawCID([]byte("lost"))
	d := &delegated{providers: map[cid.Cid]types.PeerRecord{c: {
		Schema: types.SchemaPeer, ID: &gone, Protocols: []string{"transport-bitswap"},
		Addrs: []types.Multiaddr{{Multiaddr: ma.StringCast("/ip4/127.0.0.1/tcp/1")}},
	}}}
	web := httptest.NewServer(server.Handler(d))
	defer web.Close()
	n := start(t, Config{Routing: []string{"http://127.0.0.1:1", web.URL}})
	if err := n.Find(t.Context(), c); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("got %v, want %v", err, ipfs.ErrNotFound)
	}
	alone := start(t, Config{})
	if err := alone.Find(t.Context(), c); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v, want %v", err, errors.ErrUnsupported)
	}
}

// What was announced is not announced again before its time, and what is no
// more is forgotten.
func TestDue(t *testing.T) {
	a, b := rawCID([]byte("a")), rawCID([]byte("b"))
	now := time.Now()
	known := told{}
	if got := known.due([]cid.Cid{a, b, a}, now); len(got) != 2 {
		t.Errorf("due %v, want both once", got)
	}
	known[a], known[b] = now, now
	if got := known.due([]cid.Cid{a}, now.Add(time.Hour)); len(got) != 0 || len(known) != 1 {
		t.Errorf("due %v, known %v; want none, and a", got, known)
	}
	if got := known.due([]cid.Cid{a, b}, now.Add(reprovideInterval)); len(got) != 2 {
		t.Errorf("due %v, want both", got)
	}
}
