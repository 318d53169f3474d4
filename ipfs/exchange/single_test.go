package exchange

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Single blocks come from whoever has them; who had the last is asked first.
func TestGet(t *testing.T) {
	holder, puller := newMachine(t, "holder", Limits{}), newMachine(t, "puller", Limits{})
	empty := fetchers(t, 5, Limits{})
	join(append(empty, holder, puller)...)
	for i := range uint64(10) {
		data := random(1000, i)
		c := holder.publish(data)
		if got, err := puller.Get(t.Context(), c); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if !puller.store.Has(t.Context(), c) {
			t.Error("it was not kept")
		}
	}
	for _, m := range empty {
		if m.asked > 0 {
			t.Errorf("%s was asked for blocks", m.id)
		}
	}
}

// What nobody has is an error at once.
func TestGetNothing(t *testing.T) {
	missing := newMachine(t, "elsewhere", Limits{}).publish(random(1000, 1))
	m := newMachine(t, "machine", Limits{})
	if _, err := m.Get(t.Context(), missing); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("without peers: %v", err)
	}
	join(append(fetchers(t, 3, Limits{}), m)...)
	if _, err := m.Get(t.Context(), missing); !errors.Is(err, ipfs.ErrNotFound) || errors.Is(err, ipfs.ErrUnavailable) {
		t.Errorf("with peers: %v", err)
	}
	m.others[0].kill()
	m.others[0].gone.Store(false) // listed, but its connections break
	m.others[0].web.Close()
	if _, err := m.Get(t.Context(), missing); !errors.Is(err, ipfs.ErrUnavailable) {
		t.Errorf("with a peer that does not answer: %v", err)
	}
}

// Who asks at the same time for the same gets it from one request.
func TestGetOnce(t *testing.T) {
	holder, puller := newMachine(t, "holder", Limits{}), newMachine(t, "puller", Limits{})
	holder.uplink = &uplink{rate: 1 << 20}
	join(holder, puller)
	c := holder.publish(random(200<<10, 1))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := puller.Get(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if holder.asked != 1 {
		t.Errorf("%d requests", holder.asked)
	}
}

// Blocks come from other nodes, and from nodes that have to be found first.
func TestGetFar(t *testing.T) {
	holder, puller := newMachine(t, "holder", Limits{}), newMachine(t, "puller", Limits{})
	data := random(1000, 2)
	c := holder.publish(data)
	puller.blocks = func(_ context.Context, cids []cid.Cid, yield func(cid.Cid, []byte) error) error {
		return yield(cids[0], data)
	}
	if got, err := puller.Get(t.Context(), c); err != nil || !bytes.Equal(got, data) {
		t.Errorf("others: %d bytes, %v", len(got), err)
	}
	puller.blocks = func(ctx context.Context, _ []cid.Cid, _ func(cid.Cid, []byte) error) error {
		<-ctx.Done() // it is found nowhere
		return ctx.Err()
	}
	puller.find = func(_ context.Context, _ cid.Cid) error {
		puller.mu.Lock()
		defer puller.mu.Unlock()
		puller.others = []*machine{holder}
		return nil
	}
	d := holder.publish(random(1000, 3))
	if _, err := puller.Get(t.Context(), d); err != nil {
		t.Errorf("found: %v", err)
	}
	puller.blocks = func(_ context.Context, _ []cid.Cid, yield func(cid.Cid, []byte) error) error {
		return yield(d, []byte("false"))
	}
	puller.find = nil
	if _, err := puller.Get(t.Context(), newMachine(t, "elsewhere", Limits{}).publish(random(1000, 4))); err == nil {
		t.Error("a false block of another node is taken")
	}
}

// Callers that give up, and Close, do not wait for peers.
func TestGetEnds(t *testing.T) {
	holder, puller := newMachine(t, "holder", Limits{}), newMachine(t, "puller", Limits{})
	holder.uplink = &uplink{rate: 1000}
	join(holder, puller)
	c := holder.publish(random(10_000, 5))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := puller.Get(ctx, c); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	time.AfterFunc(50*time.Millisecond, func() { puller.Close() })
	if _, err := puller.Get(t.Context(), c); err == nil {
		t.Error("it came through a closed exchange")
	}
	if _, err := puller.Get(t.Context(), c); !errors.Is(err, ipfs.ErrUnavailable) {
		t.Errorf("closed: %v", err)
	}
	g, release := puller.Fetch(c)
	release()
	if _, err := g.Get(t.Context(), c); !errors.Is(err, ipfs.ErrUnavailable) {
		t.Errorf("fetch after Close: %v", err)
	}
}
