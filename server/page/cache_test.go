package page

import (
	"testing"

	"github.com/image2ipfs/image2ipfs/internal/budget"
)

// What the page keeps is charged, bounded, and given back when others need the memory.
func TestCacheGivesWay(t *testing.T) {
	memory := budget.New(budget.Least)
	c := newCache[int, string](3, 16<<20, memory)
	for i := range 3 {
		c.put(i, "kept", 1<<20)
	}
	if held, _ := memory.Caches.Held(); held != 3<<20 {
		t.Errorf("caches are charged with %d bytes, want 3 MiB", held)
	}
	c.put(3, "one too many", 1<<20)
	_, first := c.get(0)
	_, last := c.get(3)
	if held, _ := memory.Caches.Held(); held != 1<<20 || first || !last {
		t.Errorf("after one too many: %d bytes, the first is kept: %v, the last: %v", held, first, last)
	}
	c.put(4, "more than all may take", 17<<20)
	if _, ok := c.get(4); ok {
		t.Error("one is kept that is more than all may take")
	}
	c.put(5, "large", 14<<20)
	for _, share := range []*budget.Share{memory.Connections, memory.Sending} {
		for _, n := range []int64{1, share.Size() / 2} { // one of each kind may always go on
			if _, err := share.Take(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
	}
	if held, _ := memory.Caches.Held(); held != 0 {
		t.Errorf("caches keep %d bytes that others need", held)
	}
}
