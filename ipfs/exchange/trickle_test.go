package exchange_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/car"
	"github.com/image2ipfs/image2ipfs/ipfs/exchange"
	"github.com/image2ipfs/image2ipfs/ipfs/sources"
	"github.com/image2ipfs/image2ipfs/test/simnet"
)

// asServer gives single blocks as a server gets them, which gives up what stands still
// for 8 seconds, and comes back to who has too much to do for 5: of forty that are asked at
// once whether they have a block some are refused where the host's processors are busy.
func asServer(t *testing.T, m *simnet.Machine) *sources.Set {
	set := sources.New(sources.Options{Fetch: 8 * time.Second, Insist: true, Patience: 5 * time.Second}, sources.Far(m.Exchange))
	t.Cleanup(func() { _ = set.Close() })
	return set
}

// Single blocks are waited for as long as they come, however slowly, and however many
// share the link.
func TestSlowSingleBlocks(t *testing.T) {
	for _, test := range []struct{ kbits, atOnce, size int }{
		{1000, 1, 1_000_000},
		{1000, 6, 1_000_000},
		{200, 1, 1_000_000},
		{200, 3, 1_000_000},
		{1000, 40, 300_000},
	} {
		t.Run(fmt.Sprint(test.kbits, " kbit/s, at once: ", test.atOnce), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, 1, exchange.Limits{}, slices.Repeat([]int{test.size}, test.atOnce)...)
				defer s.Close()
				s.origin.Limit(float64(test.kbits) * 125)
				set := asServer(t, s.machines[0])
				began := time.Now()
				var all sync.WaitGroup
				for _, c := range s.image {
					all.Go(func() {
						if _, err := set.Get(t.Context(), c); err != nil {
							t.Errorf("after %s: %v", time.Since(began), err)
						}
					})
				}
				all.Wait()
				ideal := time.Duration(test.atOnce*test.size/(test.kbits*125)) * time.Second
				if took := time.Since(began); took > ideal*5/4+2*time.Second {
					t.Errorf("it took %s, the link needs %s", took, ideal)
				}
			})
		})
	}
}

// Machines that pull many small layers at once over a slow link get them all.
func TestSlowSmallLayers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 4, exchange.Limits{}, slices.Repeat([]int{300_000}, 50)...)
		defer s.Close()
		s.origin.Limit(1000 * 125)
		s.mustPull(0, s.machines...)
	})
}

// A block that a reader has given up is kept when it comes, so that who asks again and
// again gets it at last.
func TestGivenUpBlockIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 1, exchange.Limits{}, 1_000_000)
		defer s.Close()
		s.origin.Limit(1000 * 125)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err := s.machines[0].Get(ctx, s.image[0]); err == nil {
			t.Fatal("it came within 3 s")
		}
		time.Sleep(7 * time.Second)
		if !s.machines[0].Has(t.Context(), s.image[0]) {
			t.Error("it was not kept")
		}
	})
}

// One block of a file comes while all of another, or of the same, is read over the same
// link: in front of what is read ahead.
func TestSmallRangeBesideBulk(t *testing.T) {
	for _, mbits := range []float64{8, 1} {
		for _, of := range []string{"the same file", "another file"} {
			t.Run(fmt.Sprint(mbits, " Mbit/s, of ", of), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newScene(t, 1, exchange.Limits{}, 30<<20, 30<<20)
					defer s.Close()
					s.origin.Limit(mbits * mbit)
					m := s.machines[0]
					file := s.image[0]
					if of == "another file" {
						file = s.image[1]
					}
					blocks := leaves(t, s, file)
					ctx, cancel := context.WithCancel(t.Context())
					var bulk sync.WaitGroup
					bulk.Go(func() { _ = m.Pull(ctx, s.image[0]) })
					time.Sleep(20 * time.Second)
					set := asServer(t, m)
					began := time.Now()
					_, err := set.Get(t.Context(), blocks[len(blocks)-1])
					one := time.Duration(float64(1<<20) / (mbits * mbit) * float64(time.Second))
					if took := time.Since(began); err != nil || took > 4*one+time.Second {
						t.Errorf("%v after %s; the link needs %s", err, took, one)
					} else {
						t.Log(took)
					}
					cancel()
					bulk.Wait()
				})
			})
		}
	}
}

// leaves are the blocks of a file that have its content.
func leaves(t *testing.T, s *scene, file cid.Cid) (all []cid.Cid) {
	t.Helper()
	err := ipfs.Blocks(t.Context(), s.origin.Exchange, file, 0, func(c cid.Cid, _ int64) bool {
		if c.Type() == cid.Raw {
			all = append(all, c)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// However many peers say that they have each block, and give nothing just before they
// would be given up, the block comes from who has it, and the next at once. Where nobody
// has it, the error says how many gave nothing.
func TestManyLiarsAndSingleBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 1, exchange.Limits{}, 100_000, 100_000, 100_000)
		defer s.Close()
		s.liars(16, "holds", lacks)
		set := asServer(t, s.machines[0])
		for i, most := range []time.Duration{6 * time.Second, time.Second, time.Second} {
			began := time.Now()
			_, err := set.Get(t.Context(), s.image[i])
			if took := time.Since(began); err != nil || took > most {
				t.Errorf("block %d: %v after %s, want it within %s", i, err, took, most)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 1, exchange.Limits{}, 100_000)
		defer s.Close()
		liars := s.liars(3, "holds", func(w http.ResponseWriter, _ *http.Request, root cid.Cid) { _, _ = car.NewWriter(w, root) })
		s.origin.Kill()
		for range 3 {
			began := time.Now()
			_, err := s.machines[0].Get(t.Context(), s.image[0])
			if !errors.Is(err, ipfs.ErrUnavailable) || !errors.Is(err, ipfs.ErrOneBlock) || !strings.Contains(err.Error(), "3 of 3 peers") {
				t.Errorf("%v", err)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("it took %s", took)
			}
		}
		for _, l := range liars {
			for i, at := range l.asked {
				if i > 0 && at.Sub(l.asked[i-1]) < time.Second {
					t.Errorf("%s was asked twice within a second", l.ID)
				}
			}
		}
	})
}

// That one block cannot be had says nothing of others: the only peer is asked for the next,
// however often it has failed.
func TestOneBlockFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 1, exchange.Limits{}, 100_000, 100_000)
		defer s.Close()
		real := s.origin.Handler()
		s.origin.Answers(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && strings.Contains(r.URL.Path, s.image[0].String()) {
				<-r.Context().Done()
				return
			}
			real.ServeHTTP(w, r)
		}))
		set := asServer(t, s.machines[0])
		for range 4 {
			if _, err := set.Get(t.Context(), s.image[0]); !errors.Is(err, ipfs.ErrUnavailable) {
				t.Errorf("%v", err)
			}
		}
		began := time.Now()
		if _, err := set.Get(t.Context(), s.image[1]); err != nil || time.Since(began) > 2*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

// firstByte notes when something is written first.
type firstByte struct{ at time.Time }

func (f *firstByte) Write(p []byte) (int, error) {
	if f.at.IsZero() {
		f.at = time.Now()
	}
	return len(p), nil
}

// Whoever reads a file from its start gets the start first, though much is read ahead.
func TestFirstByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 1, exchange.Limits{}, 20<<20)
		defer s.Close()
		s.origin.Limit(8 * mbit)
		began, first := time.Now(), &firstByte{}
		g := &whenOpen{Machine: s.machines[0], root: s.image[0]}
		defer g.close()
		f, err := ipfs.OpenFile(t.Context(), g, s.image[0], 16)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteTo(first); err != nil {
			t.Fatal(err)
		}
		if took := first.at.Sub(began); took > 4*time.Second {
			t.Errorf("the first byte came after %s, the last after %s", took, time.Since(began))
		}
	})
}

// whenOpen gets a file ahead, as a server does, when its root has come and the next block
// is asked for: so all that is read ahead is asked for before it is known what the file has.
type whenOpen struct {
	*simnet.Machine
	root    cid.Cid
	once    sync.Once
	fetched ipfs.Getter
	release func()
	asked   atomic.Int64
}

func (w *whenOpen) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if c.Equals(w.root) {
		return w.Machine.Get(ctx, c)
	}
	// On a busy machine what is asked for at once comes in any order.
	time.Sleep(time.Duration(max(0, 20-w.asked.Add(1))) * 20 * time.Microsecond)
	w.once.Do(func() { w.fetched, w.release = w.Fetch(w.root) })
	return w.fetched.Get(ctx, c)
}

func (w *whenOpen) close() { w.release() }
