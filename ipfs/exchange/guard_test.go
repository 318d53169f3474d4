package exchange

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ipfs/car"
)

// drip sends the first block a byte at a time, for ever.
func drip(w http.ResponseWriter, r *http.Request, root cid.Cid, _ []cid.Cid) {
	_, _ = car.NewWriter(w, root)
	_, _ = w.Write([]byte{0x80, 0x80, 0x40}) // a section of 1 MiB
	forever(w, r, func() error {
		time.Sleep(20 * time.Millisecond)
		_, err := w.Write([]byte{1})
		return err
	})
}

// An answer that comes a little now and then stands still.
func TestDrippingAnswer(t *testing.T) {
	holder, puller := newMachine(t, "holder", Limits{}), newMachine(t, "puller", Limits{Stall: 300 * time.Millisecond})
	holder.replace = claims(drip)
	c := holder.publish(random(1<<20, 40))
	request := &request{root: c, cids: []cid.Cid{c}, yield: func(cid.Cid, []byte) error { return nil }}
	if err := puller.ask(t.Context(), &link{from: puller, to: holder}, request); !errors.Is(err, errStalled) {
		t.Error(err)
	}
}

// stuck is an answer that nobody takes: it stands still at the first block, and
// tells so.
type stuck struct {
	discard
	settled func()
	end     <-chan struct{}
	cut     chan struct{}
}

func (s *stuck) SetWriteDeadline(at time.Time) error {
	if time.Now().After(at) {
		select {
		case s.cut <- struct{}{}:
		default:
		}
	}
	return nil
}

func (s *stuck) Write(p []byte) (int, error) {
	if len(p) < 1000 {
		return len(p), nil
	}
	s.settled()
	select {
	case <-s.end:
	case <-s.cut:
	}
	return 0, io.ErrClosedPipe
}

// Peers that ask for all that they may and take nothing of it leave room for
// others: neither the memory nor the places for answers are theirs alone.
func TestSlowReaders(t *testing.T) {
	const peers = 5
	for name, limits := range map[string]Limits{"memory": {}, "places": {PerPeer: 64}} {
		t.Run(name, func(t *testing.T) {
			holder, puller := newMachine(t, "holder", limits), newMachine(t, "puller", limits)
			if name == "places" {
				holder.gate = newGate(holder.limits, budget.New(10<<30))
			}
			join(holder, puller)
			big, c := holder.publish(random(1<<20, 80)), holder.publish(random(1<<20, 81))
			end := make(chan struct{})
			var settled, running sync.WaitGroup
			for i := range peers {
				for range holder.limits.Answers {
					r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, Path+big.String(), strings.NewReader(formatList([]cid.Cid{big})))
					if err != nil {
						t.Fatal(err)
					}
					r.RemoteAddr = fmt.Sprint("slow ", i)
					settled.Add(1)
					once := sync.OnceFunc(settled.Done)
					running.Go(func() {
						defer once()
						defer func() { _ = recover() }() // an answer that is cut off ends in a panic
						holder.Handler().ServeHTTP(&stuck{discard: discard{header: http.Header{}}, settled: once, end: end, cut: make(chan struct{}, 1)}, r)
					})
				}
			}
			settled.Wait()
			if _, err := puller.Get(t.Context(), c); err != nil {
				t.Error(err)
			}
			close(end)
			running.Wait()
			g := holder.gate
			places, _ := g.places.Held()
			if bytes, _ := g.sending.Held(); places != 0 || bytes != 0 || len(g.byPeer) > 0 {
				t.Errorf("afterwards %d answers with %d bytes are counted, of peers %v", places, bytes, g.byPeer)
			}
		})
	}
}

// Only who was asked to get blocks may say that they are on their way.
func TestPromiseWithoutRelay(t *testing.T) {
	good, bad, puller := newMachine(t, "good", Limits{}), newMachine(t, "bad", Limits{}), newMachine(t, "puller", Limits{})
	bad.replace = claims(func(w http.ResponseWriter, r *http.Request, root cid.Cid, _ []cid.Cid) {
		out, _ := car.NewWriter(w, root)
		forever(w, r, func() error {
			time.Sleep(20 * time.Millisecond)
			return out.Block(awaited, nil)
		})
	})
	data := random(12<<20, 50)
	c := good.publish(data)
	join(good, puller)
	join(bad, puller)
	puller.mustFetch(c, data)
	puller.Exchange.mu.Lock()
	defer puller.Exchange.mu.Unlock()
	if !time.Now().Before(puller.peer("bad").banned) {
		t.Error("it is still asked")
	}
}

// attentive is a store that heeds the context, as the real one does.
type attentive struct{ *memory }

func (a attentive) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return a.memory.Get(ctx, c)
}

// A peer that goes away while it asks does not change what others are told.
func TestStateOutlivesAsker(t *testing.T) {
	m := newMachine(t, "machine", Limits{})
	root := m.publish(random(5<<20, 60))
	m.Exchange.store = attentive{m.store}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, Path+root.String(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr = "gone"
	m.Handler().ServeHTTP(&discard{header: http.Header{}}, r)
	body, err := io.ReadAll(m.call(t, http.MethodGet, Path+root.String(), "").Body)
	if err != nil || parseState(string(body)) != holds {
		t.Errorf("%q, %v", body, err)
	}
}

type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// A DAG of endless links does not fill the memory: it is not planned.
func TestEndlessDAG(t *testing.T) {
	holder, puller := newMachine(t, "holder", Limits{}), newMachine(t, "puller", Limits{})
	join(holder, puller)
	const perNode, nodes = 20_000, maxPlanned/20_000 + 1
	root := &merkledag.ProtoNode{}
	for i := range nodes {
		inner := &merkledag.ProtoNode{}
		inner.SetData([]byte{byte(i)})
		for _, c := range cids(t, perNode) {
			if err := inner.AddRawLink("", &ipld.Link{Cid: c, Size: 1}); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(holder.store.Put(t.Context(), inner.Cid(), inner.RawData()), root.AddNodeLink("", inner)); err != nil {
			t.Fatal(err)
		}
	}
	if err := holder.store.Put(t.Context(), root.Cid(), root.RawData()); err != nil {
		t.Fatal(err)
	}
	g, release := puller.Fetch(root.Cid())
	defer release()
	if data, err := g.Get(t.Context(), root.Cid()); err != nil || !bytes.Equal(data, root.RawData()) {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	puller.Exchange.mu.Lock()
	defer puller.Exchange.mu.Unlock()
	if n := len(puller.Exchange.blocks); n > nodes+1 {
		t.Errorf("%d blocks are planned", n)
	}
}
