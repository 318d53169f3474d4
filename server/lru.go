package server

import (
	"container/list"
	"sync"
)

// lru is a cache bounded by the cost of what is in it, usually bytes. It is
// safe for concurrent use.
type lru[K comparable, V any] struct {
	mu      sync.Mutex
	limit   int64
	cost    int64
	entries map[K]*list.Element
	order   *list.List // of lruEntry[K, V], most recently used first

	hits, misses int64
}

type lruEntry[K comparable, V any] struct {
	key   K
	value V
	cost  int64
}

func newLRU[K comparable, V any](limit int64) *lru[K, V] {
	return &lru[K, V]{limit: limit, entries: map[K]*list.Element{}, order: list.New()}
}

func (c *lru[K, V]) get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	if !ok {
		c.misses++
		return value, false
	}
	c.hits++
	c.order.MoveToFront(e)
	return e.Value.(lruEntry[K, V]).value, true
}

// put remembers value and forgets what was not used for longest. A value that
// costs more than a quarter of the whole cache is not remembered.
func (c *lru[K, V]) put(key K, value V, cost int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.entries[key])
	if cost > c.limit/4 {
		return
	}
	c.entries[key] = c.order.PushFront(lruEntry[K, V]{key, value, cost})
	c.cost += cost
	for c.cost > c.limit {
		c.remove(c.order.Back())
	}
}

// weigh corrects the cost of what is remembered.
func (c *lru[K, V]) weigh(key K, cost int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil {
		return
	}
	entry := e.Value.(lruEntry[K, V])
	c.cost += cost - entry.cost
	entry.cost = cost
	e.Value = entry
	if cost > c.limit/4 {
		c.remove(e)
	}
	for c.cost > c.limit {
		c.remove(c.order.Back())
	}
}

func (c *lru[K, V]) forget(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.entries[key])
}

func (c *lru[K, V]) remove(e *list.Element) {
	if e == nil {
		return
	}
	entry := c.order.Remove(e).(lruEntry[K, V])
	delete(c.entries, entry.key)
	c.cost -= entry.cost
}

// usage is what a cache holds and how often it had what was asked for.
type usage struct {
	entries            int
	cost, hits, misses int64
}

func (c *lru[K, V]) usage() usage {
	c.mu.Lock()
	defer c.mu.Unlock()
	return usage{len(c.entries), c.cost, c.hits, c.misses}
}
