package budget

import (
	"container/list"
	"sync"
)

// Cache is a cache bounded by the cost of what is in it, usually bytes, and by what
// the process has left for caches. It is safe for concurrent use.
type Cache[K comparable, V any] struct {
	share   *Share
	unit    int64 // bytes for each unit of cost
	mu      sync.Mutex
	limit   int64
	cost    int64
	entries map[K]*list.Element
	order   *list.List // of cached[K, V], most recently used first

	hits, misses int64
}

type cached[K comparable, V any] struct {
	key   K
	value V
	cost  int64
}

// NewCache makes a cache whose entries cost limit together. A unit of cost takes so
// many bytes of memory.
func NewCache[K comparable, V any](limit, unit int64, memory *Budget) *Cache[K, V] {
	c := &Cache[K, V]{share: memory.Caches, unit: unit, limit: limit, entries: map[K]*list.Element{}, order: list.New()}
	memory.Shrinks(c.shrink)
	return c
}

// Get gives what is remembered.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	if !ok {
		c.misses++
		return value, false
	}
	c.hits++
	c.order.MoveToFront(e)
	return e.Value.(cached[K, V]).value, true
}

// Put remembers value and forgets what was not used for longest. A value that
// costs more than a quarter of the whole cache is not remembered.
func (c *Cache[K, V]) Put(key K, value V, cost int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.entries[key])
	if cost > c.limit/4 || !c.charge(cost) {
		return
	}
	c.entries[key] = c.order.PushFront(cached[K, V]{key, value, cost})
	c.cost += cost
}

// charge makes room for more cost; false when there is none though all is forgotten.
func (c *Cache[K, V]) charge(cost int64) bool {
	for c.cost+cost > c.limit && c.order.Len() > 0 {
		c.remove(c.order.Back())
	}
	for !c.share.Charge(cost * c.unit) {
		if c.order.Len() == 0 {
			return false
		}
		c.remove(c.order.Back())
	}
	return true
}

// shrink forgets what was not used for longest, until n bytes are free.
func (c *Cache[K, V]) shrink(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for cost := c.cost - (n+c.unit-1)/c.unit; c.cost > cost && c.order.Len() > 0; {
		c.remove(c.order.Back())
	}
}

// Weigh corrects the cost of what is remembered.
func (c *Cache[K, V]) Weigh(key K, cost int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil {
		return
	}
	entry := e.Value.(cached[K, V])
	if entry.cost == cost {
		return
	}
	c.remove(e)
	if cost > c.limit/4 || !c.charge(cost) {
		return
	}
	entry.cost = cost
	c.entries[key] = c.order.PushFront(entry)
	c.cost += cost
}

// Forget forgets one.
func (c *Cache[K, V]) Forget(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.entries[key])
}

func (c *Cache[K, V]) remove(e *list.Element) {
	if e == nil {
		return
	}
	entry := c.order.Remove(e).(cached[K, V])
	delete(c.entries, entry.key)
	c.cost -= entry.cost
	c.share.Refund(entry.cost * c.unit)
}

// Usage is what a cache holds and how often it had what was asked for.
type Usage struct {
	Entries            int
	Cost, Hits, Misses int64
	Bytes, Limit       int64 // of memory that it takes, and may take
}

// Usage tells how it is used.
func (c *Cache[K, V]) Usage() Usage {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Usage{len(c.entries), c.cost, c.hits, c.misses, c.cost * c.unit, c.limit * c.unit}
}
