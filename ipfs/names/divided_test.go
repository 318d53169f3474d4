package names

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/test/testlog"
)

// counted is a source that counts how often it is asked, and by whom.
type counted struct {
	place
	mu        sync.Mutex
	asked     int
	forOthers bool
}

func (c *counted) Record(ctx context.Context, name string) ([]byte, time.Duration, error) {
	c.mu.Lock()
	c.asked++
	c.forOthers = ipfs.IsForOthers(ctx)
	c.mu.Unlock()
	return c.place.Record(ctx, name)
}

func (c *counted) times() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

// A server asks its reserved sources for nobody but whom it fetches for, and nobody at all
// for another server: what is here is told all the same.
func TestDivided(t *testing.T) {
	k := created(t, newStore(t))
	reserved, public := &counted{place: place{name: "reserved"}}, &counted{place: place{name: "public"}}
	d := NewDivided(newStore(t), Options{Sources: []ipfs.RecordSource{public}}, reserved)
	t.Cleanup(func() { d.Close() })
	find := func(who ipfs.Askable) error {
		_, err := d.Find(ipfs.MayAsk(t.Context(), who), k.Name)
		return err
	}
	if err := find(ipfs.AskNobody); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "asks no further") || public.times()+reserved.times() != 0 {
		t.Errorf("another server: %v, after %d and %d questions", err, public.times(), reserved.times())
	}
	if err := find(ipfs.AskPublic); !errors.Is(err, ErrUnknown) || public.times() != 1 || reserved.times() != 0 {
		t.Errorf("a stranger: %v, after %d and %d questions", err, public.times(), reserved.times())
	}
	reserved.set(signed(t, k, value(0), 1).Raw, nil)
	if err := find(ipfs.AskAll); err != nil || reserved.times() != 1 || !reserved.forOthers {
		t.Errorf("whom it fetches for: %v, after %d questions, which say that others ask: %v", err, reserved.times(), reserved.forOthers)
	}
	for _, who := range []ipfs.Askable{ipfs.AskNobody, ipfs.AskPublic} {
		if err := find(who); err != nil || reserved.times() != 1 {
			t.Errorf("what is here: %v, after %d questions", err, reserved.times())
		}
	}
	alone := NewDivided(newStore(t), Options{}, reserved)
	t.Cleanup(func() { alone.Close() })
	if _, err := alone.Find(ipfs.MayAsk(t.Context(), ipfs.AskPublic), k.Name); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "--open") {
		t.Errorf("a stranger, where all sources are reserved: %v", err)
	}
}

// However many names strangers ask for, the log has few lines of it, and says how many
// were left out.
func TestQuestionsLogLittle(t *testing.T) {
	var log, of testlog.Log
	r := NewResolver(newStore(t), Options{Logger: log.Logger()})
	defer r.Close()
	for range 1000 {
		r.warn("a question")
	}
	if lines := strings.Count(log.String(), "\n"); lines > logBurst+1 {
		t.Errorf("%d lines of 1000 questions", lines)
	}
	r.lines = budget.NewRates(logPause, logBurst)
	r.warn("a question")
	if !strings.Contains(log.String(), `"left out before"=`) {
		t.Errorf("the log does not say how many were left out:\n%s", log.String())
	}
	lying := &place{name: "g", err: fmt.Errorf("%w: no", ipfs.ErrUnavailable)}
	asked := NewResolver(newStore(t), Options{Sources: []ipfs.RecordSource{lying}, Logger: of.Logger()})
	defer asked.Close()
	for range 3 * logBurst {
		k, err := newStore(t).Create("app")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := asked.Find(t.Context(), k.Name); !errors.Is(err, ipfs.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if lines := strings.Count(of.String(), "\n"); lines < logBurst || lines > 2*logBurst {
		t.Errorf("%d lines of %d questions", lines, 3*logBurst)
	}
}

// One damaged key stops nothing but its own name: the others are listed, moved and
// published again, what its name means is kept, and it is told of by its file.
func TestDamagedKey(t *testing.T) {
	s := newStore(t)
	sink := &place{name: "sink"}
	p := publisher(t, s, sink)
	good := created(t, s)
	bad, err := s.Create("bad")
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range []Key{good, bad} {
		if _, err := p.Publish(t.Context(), k, Move{}, func(context.Context) (string, error) { return value(i), nil }); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(s.dir, "keys", "bad.key")
	if err := os.WriteFile(file, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if keys, err := s.Keys(); err != nil || len(keys) != 1 || keys[0].Name != good.Name {
		t.Errorf("keys: %+v, %v", keys, err)
	}
	damaged, err := s.Damaged()
	if err != nil || len(damaged) != 1 || !errors.Is(damaged[0], ErrKey) || !strings.Contains(damaged[0].Error(), file) {
		t.Errorf("damaged: %v, %v", damaged, err)
	}
	if owned, err := s.Owned(); err != nil || len(owned) != 1 {
		t.Errorf("owned: %+v, %v", owned, err)
	}
	kept, err := s.Kept()
	if err != nil || len(kept) != 2 || !kept[good.Name].Equals(root(0)) || !kept[bad.Name].Equals(root(1)) {
		t.Errorf("kept: %v, %v", kept, err)
	}
	if k, err := s.Create("bad"); !errors.Is(err, ErrKeyExists) {
		t.Errorf("another key takes the damaged one's place: %+v, %v", k, err)
	}
	told := make(chan struct{}, 1)
	sink.on = func([]byte) {
		select {
		case told <- struct{}{}:
		default:
		}
	}
	var log testlog.Log
	p.log = log.Logger()
	stop := p.Start(t.Context())
	<-told // the other name is published
	stop()
	if strings.Count(log.String(), file) != 1 {
		t.Errorf("the log has not told of %s once:\n%s", file, log.String())
	}
}

// absent are sources of which none is there.
type absent struct{}

func (absent) String() string { return "peers" }

func (absent) Records(context.Context, string, func(string, []byte, time.Duration, error)) {}

// A name of which nobody answers is not unknown: who asks later may be told.
func TestNobodyAnswers(t *testing.T) {
	s := newStore(t)
	k := created(t, newStore(t))
	r := NewResolver(s, Options{Several: []ipfs.RecordsSource{absent{}}})
	defer r.Close()
	if _, err := r.Find(t.Context(), k.Name); !errors.Is(err, ipfs.ErrUnavailable) || errors.Is(err, ErrUnknown) || strings.Contains(err.Error(), "%!") {
		t.Error(err)
	}
}
