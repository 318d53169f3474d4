package p2p

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
	"go.uber.org/goleak"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// Started by the initialisation of libraries, once for the process.
		goleak.IgnoreAnyFunction("go.opencensus.io/stats/view.(*worker).start"),
	)
}

// memory is a store of a test.
type memory struct {
	mu     sync.Mutex
	blocks map[cid.Cid][]byte
	asked  map[cid.Cid]int // Get and View
}

func (m *memory) add(data []byte) cid.Cid {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.blocks == nil {
		m.blocks, m.asked = map[cid.Cid][]byte{}, map[cid.Cid]int{}
	}
	c := rawCID(data)
	m.blocks[c] = data
	return c
}

func (m *memory) Has(_ context.Context, c cid.Cid) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.blocks[c] != nil
}

func (m *memory) Get(_ context.Context, c cid.Cid) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if data := m.blocks[c]; data != nil {
		m.asked[c]++
		return data, nil
	}
	return nil, fmt.Errorf("block %s: %w", c, ipfs.ErrNotFound)
}

func (m *memory) Size(_ context.Context, c cid.Cid) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if data := m.blocks[c]; data != nil {
		return int64(len(data)), nil
	}
	return 0, fmt.Errorf("block %s: %w", c, ipfs.ErrNotFound)
}

func rawCID(data []byte) cid.Cid {
	c, err := cid.NewPrefixV1(cid.Raw, multihash.SHA2_256).Sum(data)
	if err != nil {
		panic(err)
	}
	return c
}

const loopback = "/ip4/127.0.0.1/tcp/0"

// start starts a node that ends with the test.
func start(t *testing.T, cfg Config) *Node {
	t.Helper()
	n, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("closing the node: %v", err)
		}
	})
	return n
}

// ready waits until a node has somebody to ask.
func ready(t *testing.T, n *Node) {
	t.Helper()
	if err := n.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// await waits until cond holds.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	limit := time.Now().Add(time.Minute)
	for !cond() {
		if time.Now().After(limit) {
			t.Fatalf("still not: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func knows(n *Node, id string) bool {
	return slices.ContainsFunc(n.Connected(), func(p PeerInfo) bool { return p.ID == id })
}

// hello makes a handler that says who asked for what.
func hello(*Node) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s asked for %s", r.RemoteAddr, strings.TrimPrefix(r.URL.RequestURI(), "/"))
	})
}

// listening gives cfg an address for others.
func listening(cfg Config) Config {
	cfg.Listen = []string{loopback}
	return cfg
}
