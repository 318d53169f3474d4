package budget

import (
	"container/list"
	"sync"
)

// Cache is a cache bounded by the cost of what is in it, usually bytes, and by what
// the process has left for caches. It is safe for concurrent use.
type Cache[K comparable, V any] struct {
	memory  *Budget
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
	used  uint64 // when, by [Budget.clock]
}

// NewCache makes a cache whose entries cost limit together. A unit of cost takes so
// many bytes of memory.
func NewCache[K comparable, V any](limit, unit int64, memory *Budget) *Cache[K, V] {
	c := &Cache[K, V]{memory: memory, unit: unit, limit: limit, entries: map[K]*list.Element{}, order: list.New()}
	memory.Shrinks(c.shrink)
	memory.joins(c)
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
	c.use(e)
	return e.Value.(cached[K, V]).value, true
}

// use notes that an entry was used just now.
func (c *Cache[K, V]) use(e *list.Element) {
	entry := e.Value.(cached[K, V])
	entry.used = c.memory.clock.Add(1)
	e.Value = entry
	c.order.MoveToFront(e)
}

// Put remembers value and forgets what was not used for longest: here where this cache
// is full, in whatever cache where all of them together are. A value that costs more than
// a quarter of the whole cache is not remembered.
func (c *Cache[K, V]) Put(key K, value V, cost int64) {
	for {
		done, lacks := c.put(key, value, cost)
		if done || lacks > cost*c.unit || !c.memory.forgetOldest() { // others than caches have more
			return
		}
	}
}

// put is done unless memory lacks so many bytes.
func (c *Cache[K, V]) put(key K, value V, cost int64) (done bool, lacks int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.entries[key])
	if cost > c.limit/4 {
		return true, 0
	}
	for c.cost+cost > c.limit && c.order.Len() > 0 {
		c.remove(c.order.Back())
	}
	if lacks = c.memory.Caches.charge(cost * c.unit); lacks > 0 {
		return false, lacks
	}
	c.entries[key] = c.order.PushFront(cached[K, V]{key, value, cost, c.memory.clock.Add(1)})
	c.cost += cost
	return true, 0
}

// oldest tells when what was not used for longest was used; ok is false where there is
// nothing.
func (c *Cache[K, V]) oldest() (used uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.order.Len() == 0 {
		return 0, false
	}
	return c.order.Back().Value.(cached[K, V]).used, true
}

// forgetOldest forgets that.
func (c *Cache[K, V]) forgetOldest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.order.Back())
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
	for {
		done, more, lacks := c.weigh(key, cost)
		if done {
			return
		}
		if lacks > more || !c.memory.forgetOldest() {
			c.Forget(key)
			return
		}
	}
}

// weigh is done unless memory lacks so many of the bytes more that an entry takes.
func (c *Cache[K, V]) weigh(key K, cost int64) (done bool, more, lacks int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil {
		return true, 0, 0
	}
	entry := e.Value.(cached[K, V])
	if entry.cost == cost {
		return true, 0, 0
	}
	if cost > c.limit/4 {
		c.remove(e)
		return true, 0, 0
	}
	c.use(e)
	for c.cost-entry.cost+cost > c.limit && c.order.Len() > 1 {
		c.remove(c.order.Back())
	}
	more = (cost - entry.cost) * c.unit
	if more < 0 {
		c.memory.Caches.Refund(-more)
	} else if lacks = c.memory.Caches.charge(more); lacks > 0 {
		return false, more, lacks
	}
	entry = e.Value.(cached[K, V])
	c.cost += cost - entry.cost
	entry.cost = cost
	e.Value = entry
	return true, 0, 0
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
	c.memory.Caches.Refund(entry.cost * c.unit)
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
