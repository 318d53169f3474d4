package sources

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// link is a line that all transfers share, chunk by chunk.
type link struct {
	rate int // bytes a second
	mu   sync.Mutex
	next time.Time
	sent atomic.Int64
}

const chunk = 16 << 10

// get gives g's blocks over the link, and tells of the progress.
func (l *link) get(g ipfs.Getter) getFunc {
	return func(ctx context.Context, c cid.Cid) ([]byte, error) {
		data, err := g.Get(ctx, c)
		if err != nil {
			return nil, err
		}
		data, err = io.ReadAll(ipfs.Progress(ctx, &transfer{ctx, l, data}))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ipfs.ErrUnavailable, err)
		}
		return data, nil
	}
}

type transfer struct {
	ctx  context.Context
	l    *link
	data []byte
}

func (t *transfer) Read(p []byte) (int, error) {
	if len(t.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, t.data[:min(len(t.data), chunk, t.l.rate)])
	t.l.mu.Lock()
	if now := time.Now(); t.l.next.Before(now) {
		t.l.next = now
	}
	t.l.next = t.l.next.Add(time.Duration(n) * time.Second / time.Duration(t.l.rate))
	turn := time.NewTimer(time.Until(t.l.next))
	t.l.mu.Unlock()
	defer turn.Stop()
	select {
	case <-turn.C:
	case <-t.ctx.Done():
		return 0, context.Cause(t.ctx)
	}
	t.l.sent.Add(int64(n))
	t.data = t.data[n:]
	return n, nil
}

// slowStreamer sends a file's blocks over a link in one stream.
type slowStreamer struct {
	*fake
	s *streamer
	l *link
}

func (s slowStreamer) Stream(ctx context.Context, _ cid.Cid, yield func(cid.Cid, []byte) error) error {
	for _, c := range s.s.order {
		data, err := s.l.get(s.s.Blocks)(ctx, c)
		if err == nil {
			err = yield(c, data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Over a slow link many blocks are on their way for longer than a source may be
// silent: none is lost, and hardly a byte is sent twice.
func TestSlowLink(t *testing.T) {
	data, c, s := file(t, 12)
	for name, test := range map[string]struct {
		rate, readers int
		streams       bool
		sources       int
	}{
		"blocks of one file":             {300 << 10, 1, false, 1},
		"blocks of four files":           {300 << 10, 4, false, 1},
		"streams of four files":          {300 << 10, 4, true, 1},
		"a modem":                        {20 << 10, 1, false, 1},
		"blocks of two gateways":         {300 << 10, 2, false, 2},
		"a block takes more than a turn": {60 << 10, 1, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &link{rate: test.rate}
				var all []*Source
				var singles []*fake
				for range test.sources {
					f := &fake{name: fmt.Sprintf("source %d", len(all)), get: l.get(s.Blocks)}
					singles = append(singles, f)
					if test.streams {
						all = append(all, Far(slowStreamer{f, s, l}))
					} else {
						all = append(all, Far(f))
					}
				}
				set := New(Options{Fetch: 8 * time.Second}, all...)
				defer set.Close()
				began := time.Now()
				var wg sync.WaitGroup
				for range test.readers {
					wg.Go(func() {
						if got, err := readAll(t, set, c); err != nil || !bytes.Equal(got, data) {
							t.Errorf("%d of %d bytes, %v", len(got), len(data), err)
						}
					})
				}
				wg.Wait()
				if n := singles[0].n.Load(); test.streams && n > int64(4*test.readers) {
					t.Errorf("%d blocks were asked for beside %d streams", n, test.readers)
				}
				need := test.readers * len(data)
				if sent := int(l.sent.Load()); sent > need*5/4 {
					t.Errorf("%d bytes were sent for %d", sent, need)
				}
				if took, ideal := time.Since(began), time.Duration(need)*time.Second/time.Duration(test.rate); took > ideal*5/4 {
					t.Errorf("it took %s, the link needs %s", took, ideal)
				}
			})
		})
	}
}

// Bytes that come do not keep a faster source from being asked: it is found out
// with one block, and the slow one is asked last from then on.
func TestSlowSourceBesideFastOne(t *testing.T) {
	data, c, s := file(t, 12)
	synctest.Test(t, func(t *testing.T) {
		slow, fast := &link{rate: 100 << 10}, &link{rate: 100 << 20}
		set, _ := newSet(t, Options{}, slow.get(s.Blocks), fast.get(s.Blocks))
		began := time.Now()
		if got, err := readAll(t, set, c); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d of %d bytes, %v", len(got), len(data), err)
		}
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// A source that lets a byte drip now and then holds up neither a block nor a
// file for ever, whether it is alone or not.
func TestDrippingSource(t *testing.T) {
	data, c, s := file(t, 8)
	synctest.Test(t, func(t *testing.T) {
		drip := &link{rate: 100}
		set, _ := newSet(t, Options{Fetch: 8 * time.Second}, drip.get(s.Blocks))
		began := time.Now()
		_, err := set.Get(t.Context(), s.order[2])
		if !errors.Is(err, ipfs.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			t.Errorf("%v, want that it did not come in time", err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("given up after %s", took)
		}
	})
	for name, streams := range map[string]bool{"blocks": false, "a stream": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				drip := &link{rate: 100}
				f := &fake{name: "drip", get: s.Blocks.Get}
				from := Far(f)
				if streams {
					from = Far(slowStreamer{f, s, drip})
				} else {
					f.get = drip.get(s.Blocks)
				}
				set := New(Options{}, from, Far(&fake{name: "other", get: s.Blocks.Get}))
				defer set.Close()
				began := time.Now()
				if got, err := readAll(t, set, c); err != nil || !bytes.Equal(got, data) {
					t.Errorf("%d of %d bytes, %v", len(got), len(data), err)
				}
				if took := time.Since(began); took > 15*time.Second {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}
