package sources

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
	"go.uber.org/goleak"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a source that does as it is told and counts the questions.
type fake struct {
	name string
	get  func(ctx context.Context, c cid.Cid) ([]byte, error)
	n    atomic.Int64
}

func (f *fake) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	f.n.Add(1)
	return f.get(ctx, c)
}

func (f *fake) String() string { return f.name }

var content = []byte("the block")

func block(t testing.TB) cid.Cid {
	t.Helper()
	c, err := cid.V1Builder{Codec: cid.Raw, MhType: multihash.SHA2_256}.Sum(content)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func good(context.Context, cid.Cid) ([]byte, error) { return content, nil }

func lying(context.Context, cid.Cid) ([]byte, error) { return []byte("another"), nil }

func lacking(_ context.Context, c cid.Cid) ([]byte, error) {
	return nil, fmt.Errorf("%w: no %s", ipfs.ErrNotFound, c)
}

func failing(context.Context, cid.Cid) ([]byte, error) {
	return nil, fmt.Errorf("%w: no answer", ipfs.ErrUnavailable)
}

func stalling(ctx context.Context, _ cid.Cid) ([]byte, error) {
	<-ctx.Done()
	return nil, fmt.Errorf("waiting: %w", context.Cause(ctx))
}

func panicking(context.Context, cid.Cid) ([]byte, error) { panic("broken") }

type getFunc = func(context.Context, cid.Cid) ([]byte, error)

// newSet makes a Set of far sources "A", "B", …
func newSet(t testing.TB, opts Options, gets ...getFunc) (*Set, []*fake) {
	var fakes []*fake
	var all []*Source
	for i, get := range gets {
		f := &fake{name: "source " + string(rune('A'+i)), get: get}
		fakes, all = append(fakes, f), append(all, Far(f))
	}
	s := New(opts, all...)
	t.Cleanup(func() { s.Close() })
	return s, fakes
}

// Whatever the first source does, the next one helps out, and how soon.
func TestFallBack(t *testing.T) {
	for name, test := range map[string]struct {
		first getFunc
		after time.Duration
	}{
		"lacks it": {lacking, 0}, "fails": {failing, 0}, "lies": {lying, 0}, "panics": {panicking, 0}, "stalls": {stalling, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := newSet(t, Options{}, test.first, good)
				began := time.Now()
				data, err := s.Get(t.Context(), block(t))
				if err != nil || string(data) != string(content) {
					t.Errorf("%q, %v", data, err)
				}
				if d := time.Since(began); d != test.after {
					t.Errorf("it took %s, want %s", d, test.after)
				}
			})
		})
	}
}

// Who reads the error must see what to repair.
func TestErrorsNameSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newSet(t, Options{}, lacking, failing, lying, stalling, panicking)
		_, err := s.Get(t.Context(), block(t))
		if !errors.Is(err, ErrPanic) {
			t.Errorf("%v, which does not match ErrPanic", err)
		}
		for _, want := range []string{"source A: not found", "source B: IPFS unreachable: no answer", "source C: integrity", "source D: IPFS unreachable: block " + block(t).String() + " did not come in time", "source E: panic: broken"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v\nlacks %q", err, want)
			}
		}
		if !errors.Is(err, ipfs.ErrUnavailable) || !errors.Is(err, ipfs.ErrCorrupt) || !errors.Is(err, ipfs.ErrNotFound) {
			t.Errorf("error %v does not match all that happened", err)
		}
	})
}

func TestNotFound(t *testing.T) {
	s, _ := newSet(t, Options{}, lacking, lacking)
	if _, err := s.Get(t.Context(), block(t)); !errors.Is(err, ipfs.ErrNotFound) || errors.Is(err, ipfs.ErrUnavailable) {
		t.Errorf("error %v, want not found and nothing else", err)
	}
	s, _ = newSet(t, Options{})
	if _, err := s.Get(t.Context(), block(t)); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("without sources: %v", err)
	}
}

// A source that lied once is not asked again, until it is forgiven.
func TestLiarIsNotAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newSet(t, Options{Forgive: time.Hour, Insist: true}, lying, lacking)
		for range 3 {
			_, err := s.Get(t.Context(), block(t))
			if err == nil || !strings.Contains(err.Error(), "source A") {
				t.Errorf("error %v does not name the liar", err)
			}
		}
		if n := f[0].n.Load(); n != 1 {
			t.Errorf("the liar was asked %d times", n)
		}
		if s.Sources()[0].Up() {
			t.Error("the liar is called up")
		}
		time.Sleep(time.Hour + time.Second)
		f[0].get = good
		if _, err := s.Get(t.Context(), block(t)); err != nil {
			t.Errorf("after it was forgiven: %v", err)
		}
	})
}

// A source that fails is left alone, for longer each time, but not for good.
func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newSet(t, Options{Retry: time.Second}, failing, good)
		for range 600 {
			if _, err := s.Get(t.Context(), block(t)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := f[0].n.Load(); n < 6 || n > 10 {
			t.Errorf("asked %d times in a minute, want about 8", n)
		}
		f[0].get = good
		time.Sleep(13 * time.Second)
		before := f[1].n.Load()
		for range 3 {
			if _, err := s.Get(t.Context(), block(t)); err != nil {
				t.Fatal(err)
			}
		}
		if f[1].n.Load() != before {
			t.Error("the first source, which is well again, is not asked first")
		}
	})
}

// The only source there is gets asked although it has just failed, when the
// caller insists.
func TestInsist(t *testing.T) {
	for _, insist := range []bool{false, true} {
		s, f := newSet(t, Options{Insist: insist}, failing)
		for range 2 {
			if _, err := s.Get(t.Context(), block(t)); !errors.Is(err, ipfs.ErrUnavailable) || !strings.Contains(err.Error(), "source A") {
				t.Errorf("error %v", err)
			}
		}
		if n := f[0].n.Load(); (n == 2) != insist {
			t.Errorf("insist %t: asked %d times", insist, n)
		}
	}
}

// A slow source costs one wait, not one for each block; one that lacks an
// image costs two questions.
func TestSlowAndLackingSourcesAreAskedLast(t *testing.T) {
	for name, test := range map[string]struct {
		get getFunc
		max int64
	}{"slow": {stalling, 1}, "lacking": {lacking, maxMisses}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, f := newSet(t, Options{}, test.get, good)
				began := time.Now()
				for range 100 {
					if _, err := s.Get(t.Context(), block(t)); err != nil {
						t.Fatal(err)
					}
				}
				if n := f[0].n.Load(); n > test.max {
					t.Errorf("asked %d times for 100 blocks, want %d", n, test.max)
				}
				if d := time.Since(began); d > time.Second {
					t.Errorf("100 blocks took %s", d)
				}
			})
		})
	}
}

// Stores on this machine come first and are not written off for one bad block.
func TestNear(t *testing.T) {
	near, far := &fake{name: "store", get: good}, &fake{name: "gateway", get: good}
	s := New(Options{}, Far(far), Near(near))
	defer s.Close()
	if s.String() != "store, gateway" {
		t.Errorf("order %s", s)
	}
	if _, err := s.Get(t.Context(), block(t)); err != nil || far.n.Load() != 0 {
		t.Errorf("%v, the gateway was asked %d times", err, far.n.Load())
	}
	near.get = lying
	if _, err := s.Get(t.Context(), block(t)); err != nil {
		t.Error(err)
	}
	near.get = good
	if _, err := s.Get(t.Context(), block(t)); err != nil || far.n.Load() != 1 {
		t.Errorf("%v, the gateway was asked %d times", err, far.n.Load())
	}
}

// Callers that give up, and Close, must not wait for a source that stalls.
func TestCancelAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newSet(t, Options{}, stalling)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := s.Get(ctx, block(t)); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Get(ctx, block(t)); !errors.Is(err, ipfs.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "source A") {
			t.Errorf("deadline: %v", err)
		}
		time.AfterFunc(time.Second, func() { s.Close() })
		if _, err := s.Get(t.Context(), block(t)); !errors.Is(err, ipfs.ErrUnavailable) {
			t.Errorf("closed in the middle: %v", err)
		}
		if _, err := s.Get(t.Context(), block(t)); !errors.Is(err, ipfs.ErrUnavailable) {
			t.Errorf("closed: %v", err)
		}
	})
}
