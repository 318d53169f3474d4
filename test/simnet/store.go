package simnet

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// content are the bytes of all blocks there are, once for all machines.
type content struct {
	mu   sync.RWMutex
	data map[string][]byte // by multihash
}

func newContent() *content { return &content{data: map[string][]byte{}} }

func (c *content) add(key string, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.data[key] == nil {
		c.data[key] = bytes.Clone(data)
	}
}

func (c *content) get(key string) []byte {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.data[key]
}

// store is what one machine has: true for what it keeps as its own.
type store struct {
	blocks *content
	mu     sync.Mutex
	has    map[string]bool
	came   time.Time
}

func (s *store) lastCame() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.came
}

func newStore(blocks *content) *store { return &store{blocks: blocks, has: map[string]bool{}} }

func (s *store) Has(_ context.Context, c cid.Cid) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, here := s.has[string(c.Hash())]
	return here
}

// Own implements exchange.Owner.
func (s *store) Own(_ context.Context, c cid.Cid) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.has[string(c.Hash())]
}

func (s *store) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !s.Has(ctx, c) {
		return nil, fmt.Errorf("%w: block %s", ipfs.ErrNotFound, c)
	}
	return s.blocks.get(string(c.Hash())), nil
}

// View implements [ipfs.Viewer].
func (s *store) View(ctx context.Context, c cid.Cid, fn func(data []byte) error) error {
	data, err := s.Get(ctx, c)
	if err != nil {
		return err
	}
	return fn(data)
}

func (s *store) Size(ctx context.Context, c cid.Cid) (int64, error) {
	data, err := s.Get(ctx, c)
	return int64(len(data)), err
}

func (s *store) Put(_ context.Context, c cid.Cid, data []byte) error {
	s.put(c, data, false)
	return nil
}

func (s *store) put(c cid.Cid, data []byte, own bool) {
	key := string(c.Hash())
	s.blocks.add(key, data)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.has[key], s.came = own || s.has[key], time.Now()
}

// publishing puts blocks that a machine keeps.
type publishing struct{ *store }

func (p publishing) Put(_ context.Context, c cid.Cid, data []byte) error {
	p.put(c, data, true)
	return nil
}
