package exchange

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// until waits for a condition.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// copies tells how often a machine has sent a file of n bytes.
func (m *machine) copies(n int) float64 { return float64(m.sent.Load()) / float64(n) }

// Eight machines that pull the same at once take little more than one copy from
// who published it.
func TestFetchersShare(t *testing.T) {
	if testing.Short() {
		t.Skip(starves)
	}
	data := random(32<<20, 1)
	var publisher *machine
	var pullers []*machine
	copies := math.Inf(1)
	// A machine that has no processor for seconds looks dead to the others, who go
	// to the publisher then; so it may take more than one try.
	for try := 0; copies > 1.6 && try < 3; try++ {
		publisher = newMachine(t, "publisher", Limits{})
		publisher.uplink = &uplink{rate: 24 << 20}
		c := publisher.publish(data)
		pullers = fetchers(t, 8, Limits{})
		join(append(pullers, publisher)...)
		together(pullers, c, data)
		copies = publisher.copies(len(data))
	}
	if copies > 1.6 {
		t.Errorf("the publisher sent %.2f copies, want 1.6 at most", copies)
	}
	if s := publisher.Stats(); len(s.Peers) != len(pullers) || s.Peers[0].BytesOut == 0 {
		t.Errorf("stats %+v", s)
	}
}

// When the publisher dies, those who have got the whole image together complete
// it among themselves.
func TestPublisherDies(t *testing.T) {
	if testing.Short() {
		t.Skip(starves)
	}
	publisher := newMachine(t, "publisher", Limits{})
	publisher.uplink = &uplink{rate: 16 << 20}
	data := random(24<<20, 2)
	c := publisher.publish(data)
	pullers := fetchers(t, 4, Limits{Stall: time.Second, Refresh: 200 * time.Millisecond})
	join(append(pullers, publisher)...)
	var done sync.WaitGroup
	done.Go(func() { together(pullers, c, data) })
	leaves := blocksUnder(t, publisher, c)
	until(t, "all blocks are among the pullers", func() bool {
		for _, leaf := range leaves {
			if !somebodyHas(pullers, leaf) {
				return false
			}
		}
		return true
	})
	publisher.kill()
	done.Wait()
}

func somebodyHas(all []*machine, c cid.Cid) bool {
	for _, m := range all {
		if m.store.Has(context.Background(), c) {
			return true
		}
	}
	return false
}

// blocksUnder lists the blocks of a file.
func blocksUnder(t testing.TB, m *machine, c cid.Cid) (all []cid.Cid) {
	t.Helper()
	err := ipfs.Blocks(t.Context(), m.store, c, 0, func(c cid.Cid, _ int64) bool {
		all = append(all, c)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A machine that reaches only another that is fetching gets the file through it.
func TestFetchThroughFetcher(t *testing.T) {
	if testing.Short() {
		t.Skip(starves)
	}
	publisher := newMachine(t, "publisher", Limits{})
	publisher.uplink = &uplink{rate: 16 << 20}
	data := random(12<<20, 3)
	c := publisher.publish(data)
	near, far := newMachine(t, "near", Limits{}), newMachine(t, "far", Limits{})
	join(publisher, near)
	join(near, far)
	together([]*machine{near, far}, c, data)
	if n := publisher.copies(len(data)); n > 1.1 {
		t.Errorf("the publisher sent %.2f copies", n)
	}
}

// Of a new version only those blocks move that the machine lacks.
func TestUpdateMovesChanges(t *testing.T) {
	publisher, puller := newMachine(t, "publisher", Limits{}), newMachine(t, "puller", Limits{})
	join(publisher, puller)
	old := random(16<<20, 4)
	puller.mustFetch(publisher.publish(old), old)
	fresh := bytes.Clone(old)
	copy(fresh[5<<20:], random(1<<20, 5))
	copy(fresh[11<<20:], random(1<<20, 6))
	c := publisher.publish(fresh)
	publisher.sent.Store(0)
	puller.mustFetch(c, fresh)
	if sent := publisher.sent.Load(); sent > 2<<20+64<<10 {
		t.Errorf("%d bytes were sent for 2 MiB of changes", sent)
	}
}

// However many engines ask a machine for a file at once, it is fetched once, in
// few requests.
func TestManyReadersOneFetch(t *testing.T) {
	if testing.Short() {
		t.Skip(starves)
	}
	publisher, puller := newMachine(t, "publisher", Limits{}), newMachine(t, "puller", Limits{})
	join(publisher, puller)
	data := random(16<<20, 7)
	c := publisher.publish(data)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { puller.mustFetch(c, data) })
	}
	wg.Wait()
	if n := publisher.copies(len(data)); n > 1.05 {
		t.Errorf("%.2f copies were sent", n)
	}
	publisher.mu.Lock()
	defer publisher.mu.Unlock()
	if publisher.asked > 20 {
		t.Errorf("%d requests for %d MiB", publisher.asked, len(data)>>20)
	}
}

// Two files that share blocks share the work.
func TestFilesShareBlocks(t *testing.T) {
	publisher, puller := newMachine(t, "publisher", Limits{}), newMachine(t, "puller", Limits{})
	publisher.uplink = &uplink{rate: 32 << 20}
	join(publisher, puller)
	one := random(16<<20, 8)
	two := append(random(1<<20, 9), one...)
	c, d := publisher.publish(one), publisher.publish(two)
	var wg sync.WaitGroup
	wg.Go(func() { puller.mustFetch(c, one) })
	wg.Go(func() { puller.mustFetch(d, two) })
	wg.Wait()
	if n := publisher.copies(len(two)); n > 1.1 {
		t.Errorf("%.2f copies were sent", n)
	}
}

// Who seeks gets what he wants first.
func TestSeek(t *testing.T) {
	publisher, puller := newMachine(t, "publisher", Limits{}), newMachine(t, "puller", Limits{})
	publisher.uplink = &uplink{rate: 8 << 20}
	join(publisher, puller)
	data := random(32<<20, 10)
	c := publisher.publish(data)
	g, release := puller.Fetch(c)
	defer release()
	f, err := ipfs.OpenFile(t.Context(), g, c, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(-100, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(f)
	if err != nil || !bytes.Equal(got, data[len(data)-100:]) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if n := publisher.copies(len(data)); n > 0.5 {
		t.Errorf("%.2f of the file had been sent when its end was there", n)
	}
}

// A reader that goes away ends the fetch, though not at once.
func TestFetchEndsWithReaders(t *testing.T) {
	publisher, puller := newMachine(t, "publisher", Limits{}), newMachine(t, "puller", Limits{Linger: 50 * time.Millisecond})
	publisher.uplink = &uplink{rate: 4 << 20}
	join(publisher, puller)
	data := random(32<<20, 11)
	c := publisher.publish(data)
	ctx, cancel := context.WithCancel(t.Context())
	until(t, "it has begun", func() bool {
		go func() { _ = puller.fetch(ctx, c, io.Discard) }()
		return puller.store.received.Load() > 0 || publisher.sent.Load() > 1<<20
	})
	cancel()
	until(t, "it has ended", func() bool {
		puller.Exchange.mu.Lock()
		defer puller.Exchange.mu.Unlock()
		return len(puller.jobs) == 0 && len(puller.Exchange.blocks) == 0
	})
	if n := publisher.copies(len(data)); n > 0.9 {
		t.Errorf("%.2f of the file was sent", n)
	}
}

// A store that keeps nothing, or loses what it had, costs time only.
func TestForgetfulStore(t *testing.T) {
	publisher, puller := newMachine(t, "publisher", Limits{}), newMachine(t, "puller", Limits{})
	join(publisher, puller)
	data := random(12<<20, 12)
	c := publisher.publish(data)
	puller.store.forgets = true
	puller.mustFetch(c, data)
	if n := publisher.copies(len(data)); n > 2 {
		t.Errorf("%.2f copies were sent", n)
	}

	loser := newMachine(t, "loser", Limits{})
	join(publisher, loser)
	g, release := loser.Fetch(c)
	defer release()
	leaves := blocksUnder(t, publisher, c)
	for _, leaf := range leaves {
		if _, err := g.Get(t.Context(), leaf); err != nil {
			t.Fatal(err)
		}
	}
	loser.store.drop(leaves[3])
	if _, err := g.Get(t.Context(), leaves[3]); err != nil {
		t.Errorf("a block that was lost: %v", err)
	}
}

// A file that nobody has is an error soon, whichever part is missing.
func TestFetchOfNothing(t *testing.T) {
	publisher, puller := newMachine(t, "publisher", Limits{}), newMachine(t, "puller", Limits{Refresh: 50 * time.Millisecond})
	join(publisher, puller)
	data := random(8<<20, 13)
	c := publisher.publish(data)
	publisher.store.drop(blocksUnder(t, publisher, c)[4])
	if err := puller.fetch(t.Context(), c, io.Discard); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("a leaf is missing: %v", err)
	}
	publisher.store.drop(c)
	puller.store.drop(c)
	if err := puller.fetch(t.Context(), c, io.Discard); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("the root is missing: %v", err)
	}
}

// Nodes that do not speak the protocol give the file as well, a block at a time
// if need be.
func TestFetchFromOthers(t *testing.T) {
	holder, puller := newMachine(t, "holder", Limits{}), newMachine(t, "puller", Limits{})
	data := random(8<<20, 14)
	c := holder.publish(data)
	var largest atomic.Int64
	puller.blocks = func(ctx context.Context, cids []cid.Cid, yield func(cid.Cid, []byte) error) error {
		largest.Store(max(largest.Load(), int64(len(cids))))
		for _, c := range cids {
			block, err := holder.store.Get(ctx, c)
			if err != nil {
				return err
			}
			if err := yield(c, block); err != nil {
				return err
			}
		}
		return nil
	}
	puller.mustFetch(c, data)
	if s := puller.Stats(); s.Others.BytesIn < int64(len(data)) {
		t.Errorf("stats %+v", s)
	}
	if n := largest.Load(); n > maxBlocks {
		t.Errorf("%d blocks were asked for at once", n)
	}
}

// A peer that is found only later is used.
func TestFetchFinds(t *testing.T) {
	holder, puller := newMachine(t, "holder", Limits{}), newMachine(t, "puller", Limits{})
	data := random(8<<20, 15)
	c := holder.publish(data)
	puller.find = func(_ context.Context, root cid.Cid) error {
		if root.Equals(c) {
			puller.mu.Lock()
			defer puller.mu.Unlock()
			puller.others = []*machine{holder}
		}
		return nil
	}
	puller.mustFetch(c, data)
}
