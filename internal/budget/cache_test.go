package budget_test

import (
	"sync"
	"testing"

	"github.com/image2ipfs/image2ipfs/internal/budget"
)

// What a cache keeps is charged, bounded, and given back when others need the memory; what
// was used last stays longest.
func TestCacheGivesWay(t *testing.T) {
	memory := budget.New(budget.Least)
	c := budget.NewCache[int, string](16<<20, 1, memory)
	for i := range 4 {
		c.Put(i, "kept", 4<<20)
	}
	if held, _ := memory.Caches.Held(); held != 16<<20 {
		t.Errorf("caches are charged with %d bytes, want 16 MiB", held)
	}
	if _, ok := c.Get(0); !ok {
		t.Error("the first is gone while there is room")
	}
	c.Put(4, "one too many", 1<<20)
	_, first := c.Get(0)
	_, second := c.Get(1)
	if held, _ := memory.Caches.Held(); held != 13<<20 || !first || second {
		t.Errorf("after one too many: %d bytes, what was used is kept: %v, what was not: %v", held, first, second)
	}
	c.Put(5, "more than one may take", 4<<20+1)
	if _, ok := c.Get(5); ok {
		t.Error("one is kept that is more than one may take")
	}
	c.Weigh(4, 3<<20)
	if u := c.Usage(); u != (budget.Usage{Entries: 4, Cost: 15 << 20, Hits: 2, Misses: 2, Bytes: 15 << 20, Limit: 16 << 20}) {
		t.Errorf("%+v", u)
	}
	c.Forget(4)
	if held, _ := memory.Caches.Held(); held != 12<<20 {
		t.Errorf("caches are charged with %d bytes of what is forgotten", held)
	}
	for _, share := range []*budget.Share{memory.Connections, memory.Sending} {
		for _, n := range []int64{1, share.Size() / 2} { // one of each kind may always go on
			if _, err := share.Take(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
	}
	if held, _ := memory.Caches.Held(); held > 4<<20 {
		t.Errorf("caches keep %d bytes, others need all but 4 MiB", held)
	}
}

// TestCachesShare: without it a cache that was there first would keep all memory of the
// caches for good, and everything else be looked up again and again.
func TestCachesShare(t *testing.T) {
	memory := budget.New(budget.Default)
	large := budget.NewCache[int, string](128<<20, 1, memory)
	small := budget.NewCache[int, string](1<<20, 1, memory)
	for i := range 4 {
		large.Put(i, "large", 20<<20)
	}
	for i := range 100 {
		small.Put(i, "small", 4<<10)
	}
	if u := small.Usage(); u.Entries != 100 {
		t.Errorf("%d of 100 small ones are remembered beside %+v", u.Entries, large.Usage())
	}
	if u := large.Usage(); u.Entries != 3 {
		t.Errorf("%d of four large ones are remembered, though one makes room", u.Entries)
	}
	for i := range 100 {
		small.Get(i)
	}
	large.Put(9, "large", 20<<20)
	if u := small.Usage(); u.Entries != 100 {
		t.Errorf("what was used last went before what was not: %+v", u)
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 200 {
				large.Put(i*1000+j, "large", 8<<20)
				small.Put(i*1000+j, "small", 4<<10)
				large.Weigh(i*1000+j, 12<<20)
				small.Forget(i*1000 + j)
			}
		})
	}
	all.Wait()
	held, _ := memory.Caches.Held()
	if l, s := large.Usage(), small.Usage(); held != l.Bytes+s.Bytes || held > memory.Caches.Size() {
		t.Errorf("%d bytes are charged for %d and %d", held, l.Bytes, s.Bytes)
	}
}
