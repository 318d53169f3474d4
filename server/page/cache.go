package page

import (
	"sync"

	"github.com/image2ipfs/image2ipfs/internal/budget"
)

// cache keeps what was found out about contents, which never changes, within what the
// process has left for caches. Where there is no room for more all is forgotten: what is
// looked at is soon known again. It is safe for concurrent use.
type cache[K comparable, V any] struct {
	share *budget.Share
	most  int   // entries
	limit int64 // bytes of all

	mu   sync.Mutex
	kept map[K]V
	cost int64
}

func newCache[K comparable, V any](most int, limit int64, memory *budget.Budget) *cache[K, V] {
	c := &cache[K, V]{share: memory.Caches, most: most, limit: limit, kept: map[K]V{}}
	memory.Shrinks(func(int64) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.clear()
	})
	return c
}

func (c *cache[K, V]) get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	value, ok = c.kept[key]
	return value, ok
}

// put keeps what takes cost bytes, if there is room for it.
func (c *cache[K, V]) put(key K, value V, cost int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.kept[key]; known || cost > c.limit {
		return
	}
	if len(c.kept) >= c.most || c.cost+cost > c.limit {
		c.clear()
	}
	if !c.share.Charge(cost) {
		c.clear()
		if !c.share.Charge(cost) {
			return
		}
	}
	c.kept[key] = value
	c.cost += cost
}

// clear forgets all; c.mu is held.
func (c *cache[K, V]) clear() {
	clear(c.kept)
	c.share.Refund(c.cost)
	c.cost = 0
}
