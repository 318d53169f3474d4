package exchange_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
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
	"github.com/image2ipfs/image2ipfs/test/simnet"
)

// liar is a machine that tells what it likes of whatever it is asked for.
type liar struct {
	*simnet.Machine
	mu    sync.Mutex
	asked []time.Time // for blocks
}

// give is what a liar does when it is asked for blocks.
type give func(w http.ResponseWriter, r *http.Request, root cid.Cid)

// liars adds some, which everybody knows.
func (s *scene) liars(n int, state string, give give) (all []*liar) {
	for i := range n {
		l := &liar{Machine: s.Machine(fmt.Sprint("liar ", i), simnet.Rates{}, exchange.Limits{})}
		mux := http.NewServeMux()
		mux.HandleFunc("GET "+exchange.Path+"{root}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, state) })
		mux.HandleFunc("POST "+exchange.Path+"{root}", func(w http.ResponseWriter, r *http.Request) {
			root, _ := cid.Decode(r.PathValue("root"))
			_, _ = io.Copy(io.Discard, r.Body)
			l.mu.Lock()
			l.asked = append(l.asked, time.Now())
			l.mu.Unlock()
			give(w, r, root)
		})
		l.Answers(mux)
		s.Connect(append([]*simnet.Machine{l.Machine, s.origin}, s.machines...)...)
		all = append(all, l)
	}
	return all
}

// stalls never answers.
func stalls(_ http.ResponseWriter, r *http.Request, _ cid.Cid) { <-r.Context().Done() }

// pause waits, unless who asks leaves.
func pause(r *http.Request, d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.Context().Done():
	}
}

// lacks answers, just before it would be given up, that it has nothing.
func lacks(w http.ResponseWriter, r *http.Request, root cid.Cid) {
	pause(r, 4900*time.Millisecond)
	_, _ = car.NewWriter(w, root)
}

// promises says for ever that blocks are on their way.
func promises(w http.ResponseWriter, r *http.Request, root cid.Cid) {
	out, err := car.NewWriter(w, root)
	for err == nil && r.Context().Err() == nil {
		pause(r, time.Second)
		err = out.Block(cid.MustParse("bafkqaaa"), nil)
	}
}

// drips sends a block a byte at a time.
func drips(w http.ResponseWriter, r *http.Request, root cid.Cid) {
	_, err := car.NewWriter(w, root)
	if err == nil {
		_, err = w.Write([]byte{0x80, 0x80, 0x40}) // a section of 1 MiB
	}
	for err == nil && r.Context().Err() == nil {
		pause(r, 100*time.Millisecond)
		_, err = w.Write([]byte{1})
	}
}

// crawls sends just enough of a block not to stand still.
func crawls(w http.ResponseWriter, r *http.Request, root cid.Cid) {
	_, err := car.NewWriter(w, root)
	if err == nil {
		_, err = w.Write([]byte{0x80, 0x80, 0x80, 0x01}) // a section of 2 MiB
	}
	for err == nil && r.Context().Err() == nil {
		pause(r, 4*time.Second)
		_, err = w.Write(make([]byte, 64<<10+1))
	}
}

// isBusy says that it has too much to do.
func isBusy(w http.ResponseWriter, _ *http.Request, _ cid.Cid) {
	http.Error(w, "too many requests", http.StatusTooManyRequests)
}

// hasAll is what a liar tells who says that it fetches a DAG and has these leaves.
func hasAll(name string) string {
	return "fetching\nhops 1\n" + name + " " + base64.RawStdEncoding.EncodeToString(bytes.Repeat([]byte{255}, 200))
}

// However many peers claim a file and do not give it, and however they do not, it comes
// from the origin, and soon.
func TestLiars(t *testing.T) {
	const mib = 1 << 20
	for name, test := range map[string]struct {
		state    string
		liars    int
		machines int
		layers   []int
		give     give
		most     time.Duration // 8.4 s for each 100 MiB without a liar
	}{
		"a copy stalls":                      {"holds", 1, 1, []int{20 * mib}, stalls, 12 * time.Second},
		"two copies stall":                   {"holds", 2, 1, []int{20 * mib, 20 * mib}, stalls, 14 * time.Second},
		"four copies stall":                  {"holds", 4, 1, []int{20 * mib, 20 * mib}, stalls, 20 * time.Second},
		"eight owners stall":                 {"holds\nown 1", 8, 1, []int{20 * mib}, stalls, 35 * time.Second},
		"two that fetch stall":               {hasAll("has"), 2, 1, []int{20 * mib}, stalls, 14 * time.Second},
		"a copy has nothing":                 {"holds", 1, 1, []int{100 * mib}, lacks, 20 * time.Second},
		"a copy of much has nothing":         {"holds", 1, 1, []int{200 * mib}, lacks, 28 * time.Second},
		"one that fetches has nothing":       {hasAll("has"), 1, 1, []int{100 * mib}, lacks, 20 * time.Second},
		"one that gets it promises":          {hasAll("gets"), 1, 1, []int{20 * mib, 20 * mib}, promises, 16 * time.Second},
		"four that fetch promise":            {"fetching\nhops 1", 4, 1, []int{20 * mib, 20 * mib}, promises, 25 * time.Second},
		"a copy drips":                       {"holds", 1, 1, []int{20 * mib}, drips, 14 * time.Second},
		"a copy crawls":                      {"holds", 1, 1, []int{20 * mib}, crawls, 25 * time.Second},
		"a copy is busy":                     {"holds", 1, 1, []int{20 * mib}, isBusy, 5 * time.Second},
		"a copy has nothing, many are there": {"holds", 1, 4, []int{20 * mib}, lacks, 12 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && test.layers[0] > 20*mib {
				t.Skip("minutes with the race detector")
			}
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, test.machines, exchange.Limits{}, test.layers...)
				defer s.Close()
				s.liars(test.liars, test.state, test.give)
				began := time.Now()
				s.mustPull(0, s.machines...)
				t.Logf("%.2f images, %s", s.copies(), time.Since(began))
				if took := time.Since(began); took > test.most {
					t.Errorf("it took %s, want %s at most", took, test.most)
				}
			})
		})
	}
}

// Single blocks come as well, however many are wanted, while a peer sends slowly on purpose.
func TestLiarsAndSingleBlocks(t *testing.T) {
	for name, give := range map[string]give{"stalls": stalls, "drips": drips, "crawls": crawls, "is busy": isBusy} {
		t.Run("who "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, 1, exchange.Limits{}, slices.Repeat([]int{1000}, 20)...)
				defer s.Close()
				s.liars(1, "holds", give)
				var all sync.WaitGroup
				for i := range s.image {
					c, err := s.origin.Publish(t.Context(), strings.NewReader(fmt.Sprint("block ", i)))
					if err != nil {
						t.Fatal(err)
					}
					all.Go(func() {
						if _, err := s.machines[0].Get(t.Context(), c); err != nil {
							t.Error(err)
						}
					})
				}
				began := time.Now()
				if all.Wait(); time.Since(began) > 25*time.Second {
					t.Errorf("it took %s", time.Since(began))
				}
			})
		})
	}
}

// Who is told by the only holder that it has too much to do is told to come back, and
// not that the block cannot be had.
func TestBusyHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 1, exchange.Limits{}, 12<<20, 1000)
		defer s.Close()
		s.origin.Answers(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { isBusy(w, r, cid.Undef) }))
		_, err := s.machines[0].Get(t.Context(), s.image[1])
		if _, busy := ipfs.BusyUntil(err); !busy || !errors.Is(err, ipfs.ErrUnavailable) {
			t.Errorf("one block: %v", err)
		}
		g, release := s.machines[0].Fetch(s.image[0])
		defer release()
		_, err = g.Get(t.Context(), s.image[0])
		if _, busy := ipfs.BusyUntil(err); !busy {
			t.Errorf("a file: %v", err)
		}
	})
}

// The time for which a peer is left alone that gives nothing doubles, however readily
// it tells that it has all.
func TestBackOffGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 1, exchange.Limits{}, 60<<20)
		defer s.Close()
		s.origin.Limit(8 * mbit)
		l := s.liars(1, "holds", stalls)[0]
		s.mustPull(0, s.machines...)
		l.mu.Lock()
		defer l.mu.Unlock()
		pause := time.Duration(0)
		for i, at := range l.asked {
			if i == 0 || at.Sub(l.asked[i-1]) < time.Second { // both requests of a lane
				continue
			}
			if between := at.Sub(l.asked[i-1]); between < min(2*pause, time.Minute) {
				t.Errorf("it was asked after %s, and then after %s", pause+5*time.Second, between)
			} else {
				pause = between - 5*time.Second
			}
		}
		if len(l.asked) < 3 || len(l.asked) > 8 {
			t.Errorf("it was asked %d times in a minute", len(l.asked))
		}
	})
}

// A liar does not keep others from being looked for, nor those who were found, or come by
// themselves, from being asked.
func TestLiarHidesNobody(t *testing.T) {
	for _, comes := range []string{"is found", "connects"} {
		t.Run("who has it "+comes, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, 1, exchange.Limits{}, 20<<20)
				defer s.Close()
				m := s.Machine("puller", simnet.Rates{}, exchange.Limits{})
				s.machines = []*simnet.Machine{m}
				s.Connect(m, s.origin)
				if _, err := m.Get(t.Context(), s.image[0]); err != nil {
					t.Fatal(err)
				}
				s.liars(1, "holds", stalls)
				late := s.Machine("late", simnet.Rates{}, exchange.Limits{})
				s.Connect(late, s.origin)
				if err := late.Pull(t.Context(), s.image...); err != nil {
					t.Fatal(err)
				}
				s.origin.Kill()
				var finds atomic.Int64
				if comes == "is found" {
					m.Finds(func() { finds.Add(1); s.Connect(m, late) })
				} else {
					time.AfterFunc(3*time.Second, func() { s.Connect(m, late) })
				}
				began := time.Now()
				s.mustPull(0, m)
				if took := time.Since(began); took > 20*time.Second {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}
