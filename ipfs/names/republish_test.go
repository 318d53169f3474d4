package names

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// silentSink is one that answers nobody.
type silentSink struct{}

func (silentSink) String() string { return "silent" }

func (silentSink) PutRecord(ctx context.Context, _ string, _ []byte) error {
	<-ctx.Done()
	return ctx.Err()
}

// A sink that is silent keeps no other one waiting, neither of its name nor of another, nor
// of the next record.
func TestSilentSinkHoldsNobodyBack(t *testing.T) {
	s := newStore(t)
	k := created(t, s)
	other, err := s.Create("other")
	if err != nil {
		t.Fatal(err)
	}
	good := &place{name: "good"}
	p := publisher(t, s)
	p.sinks = []ipfs.RecordSink{silentSink{}, good}
	stop := p.Start(t.Context())
	defer stop()
	has := func(r Record) func() bool {
		return func() bool { return bytes.Equal(good.has(), r.Raw) }
	}
	for i, k := range []Key{k, other, k, k, other} {
		r, err := move(t, p, k, value(i%3), Move{})
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		until(t, has(r))
		if took := time.Since(begun); took > sendTimeout/2 {
			t.Errorf("move %d is told after %s", i, took)
		}
	}
}

// Before a push moves a name, and before it is told again, others are asked, so that it is
// not taken back from who has the key now; one that is silent is awaited for some seconds.
func TestPushAsksFirst(t *testing.T) {
	old := newStore(t)
	k := created(t, old)
	network := &place{name: "network"}
	push := func(s *Store, sources ...*place) error {
		t.Helper()
		f, err := NewFollowing(publisher(t, s, sources...), []Follow{{Key: "app", Repository: "app"}}, func(context.Context, string, string) (cid.Cid, error) { return root(1), nil })
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Moved(t.Context(), "app", Pushed{Tag: "1"})
		return err
	}
	if err := push(old, network); err != nil {
		t.Fatal(err)
	}
	before, err := old.load(k.Name)
	if err != nil {
		t.Fatal(err)
	}
	network.set(signed(t, k, value(2), 2).Raw, nil) // by who has the key now
	if err := push(old, network); !errors.Is(err, ErrOtherWriter) {
		t.Errorf("pushed where the key was: %v", err)
	}
	if l, err := old.load(k.Name); err != nil || l.seen.Value != value(2) || !bytes.Equal(l.Mine, before.Mine) {
		t.Errorf("it means %+v, %v", l.seen, err)
	}

	// A store that was put back to an older state, whose names are published again.
	if err := old.change(k.Name, func(st *state) error { *st = before.state; return nil }); err != nil {
		t.Fatal(err)
	}
	p := publisher(t, old, network)
	stop := p.Start(t.Context())
	until(t, func() bool { l, err := old.load(k.Name); return err == nil && l.Stopped != "" })
	stop()
	if r, err := Verify(k.Name, network.has()); err != nil || r.Value != value(2) {
		t.Errorf("others were told %+v, %v", r, err)
	}

	alone := newStore(t)
	if _, err := alone.Create("app"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := push(alone, &place{name: "dead", err: errors.New("dead")}); err != nil {
			t.Errorf("nobody answers: %v", err)
		}
	}
}

// A record that a clock which was ahead heard in the future counts as never heard: sources
// are asked, and what they tell sets that right for good.
func TestHeardInTheFuture(t *testing.T) {
	s := newStore(t)
	k := created(t, newStore(t))
	old := signed(t, k, value(0), 1)
	if err := s.take(old, time.Now().Add(67*time.Hour)); err != nil {
		t.Fatal(err)
	}
	m, err := resolver(t, s, &place{name: "dead", err: ipfs.ErrUnavailable}).Find(t.Context(), k.Name)
	if err != nil || !m.Got.IsZero() || m.Stale == nil {
		t.Errorf("nobody answers: %+v, %v", m, err)
	}
	m, err = resolver(t, s, &place{name: "same", raw: old.Raw}).Find(t.Context(), k.Name)
	if err != nil || m.Stale != nil || time.Since(m.Got) > time.Minute {
		t.Errorf("confirmed: %+v, %v", m, err)
	}
	if l, err := s.load(k.Name); err != nil || l.Got.After(time.Now()) {
		t.Errorf("kept: %s, %v", l.Got, err)
	}
	if err := s.change(k.Name, func(st *state) error { st.Got = time.Now().Add(time.Hour); return nil }); err != nil {
		t.Fatal(err)
	}
	m, err = resolver(t, s, &place{name: "new", raw: signed(t, k, value(1), 2).Raw}).Find(t.Context(), k.Name)
	if err != nil || m.Sequence != 2 || time.Since(m.Got) > time.Minute || time.Since(m.Got) < 0 {
		t.Errorf("a newer one: %+v, %v", m, err)
	}
}

// A source that has only an older record has answered: it makes nothing unsure.
func TestOlderRecordIsAnAnswer(t *testing.T) {
	s := newStore(t)
	k := created(t, newStore(t))
	if err := s.take(signed(t, k, value(1), 2), time.Now()); err != nil {
		t.Fatal(err)
	}
	r := resolver(t, s, &place{name: "late", raw: signed(t, k, value(0), 1).Raw}, &place{name: "empty"})
	rec, told, unsure := r.Newest(t.Context(), k.Name)
	if rec.Sequence != 2 || told || unsure != nil {
		t.Errorf("%d, %t, %v", rec.Sequence, told, unsure)
	}
}

// nobodyThere is a source that has nobody to ask.
type nobodyThere struct{}

func (nobodyThere) Records(_ context.Context, _ string, yield func(string, []byte, time.Duration, error)) {
	yield("peers", nil, 0, fmt.Errorf("%w: no peer is connected", ipfs.ErrNobody))
}

// A name of which who was asked has no record is unknown, whoever has nobody to ask; all
// answers are told.
func TestUnknownWhileNoPeerIsConnected(t *testing.T) {
	k := created(t, newStore(t))
	for _, c := range []struct {
		sources []ipfs.RecordSource
		want    error
		says    []string
	}{
		{[]ipfs.RecordSource{&place{name: "good"}}, ErrUnknown, []string{"good: ", "no peer is connected"}},
		{[]ipfs.RecordSource{&place{name: "good"}, &place{name: "dead", err: ipfs.ErrUnavailable}}, ipfs.ErrUnavailable, []string{"good: ", "dead: "}},
		{nil, ipfs.ErrUnavailable, []string{"no peer is connected"}},
	} {
		r := NewResolver(newStore(t), Options{Sources: c.sources, Several: []ipfs.RecordsSource{nobodyThere{}}})
		_, err := r.Find(t.Context(), k.Name)
		if !errors.Is(err, c.want) || errors.Is(err, ipfs.ErrNotFound) != (c.want == ErrUnknown) {
			t.Errorf("%v: %v", c.sources, err)
		}
		for _, text := range c.says {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%v does not tell %q", err, text)
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Where there is nobody to ask it is not said that a record is lacking which is here.
func TestNobodyToAskWithRecord(t *testing.T) {
	s := newStore(t)
	k := created(t, newStore(t))
	if err := s.take(signed(t, k, value(0), 1), time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	m, err := resolver(t, s).Find(t.Context(), k.Name)
	if err != nil || m.Stale == nil || strings.Contains(m.Stale.Error(), "no record") || !strings.Contains(m.Stale.Error(), "nobody to ask") {
		t.Errorf("%v, %v", m.Stale, err)
	}
}
