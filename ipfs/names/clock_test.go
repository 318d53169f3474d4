package names

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// asking is a source that counts how often it is asked.
type asking struct {
	place
	asked atomic.Int32
}

func (c *asking) Record(ctx context.Context, name string) ([]byte, time.Duration, error) {
	c.asked.Add(1)
	return c.place.Record(ctx, name)
}

// A record counts as the newest for its TTL, less the age of the answer that told it; in the
// last quarter of it sources are asked in the background, and then before it is told.
func TestTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ttl = time.Minute // as signed says
		k := created(t, newStore(t))
		source := &asking{place: place{name: "source"}}
		source.set(signed(t, k, value(0), 1).Raw, nil)
		r := NewResolver(newStore(t), Options{Sources: []ipfs.RecordSource{source}})
		defer r.Close()
		find := func(sequence uint64, asked int32) {
			t.Helper()
			m, err := r.Find(t.Context(), k.Name)
			synctest.Wait()
			if err != nil || m.Sequence != sequence || m.Stale != nil || source.asked.Load() != asked {
				t.Errorf("sequence %d, want %d; asked %d times, want %d; %v", m.Sequence, sequence, source.asked.Load(), asked, err)
			}
		}
		find(1, 1)
		source.set(signed(t, k, value(1), 2).Raw, nil)
		time.Sleep(ttl*3/4 - 3*time.Second)
		find(1, 1)
		time.Sleep(4 * time.Second)
		find(1, 2) // in the background
		find(2, 2)
		time.Sleep(ttl - time.Second)
		find(2, 3)
		time.Sleep(2 * ttl)
		source.set(signed(t, k, value(2), 3).Raw, nil)
		find(3, 4) // before it is told
		source.age = 50 * time.Second
		time.Sleep(2 * ttl)
		find(3, 5)
		time.Sleep(11 * time.Second) // of the TTL there were 10 s
		source.set(signed(t, k, value(3), 4).Raw, nil)
		find(4, 6)
	})
}

// Of machines whose clocks differ by an hour the later sequence wins, whatever the ends of
// their records; what has expired by the clock here is told so.
func TestClocksAnHourApart(t *testing.T) {
	s := newStore(t)
	k := created(t, newStore(t))
	by := func(ahead, lifetime time.Duration, value string, sequence uint64) []byte {
		t.Helper()
		until := time.Now().Add(ahead + lifetime)
		if until.Before(time.Now()) {
			return expired(t, k, value, sequence)
		}
		r, err := sign(k.priv, k.Name, value, sequence, until, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return r.Raw
	}
	find := func(raw []byte) (ipfs.Meaning, error) {
		return resolver(t, s, &place{name: "other", raw: raw}).Find(t.Context(), k.Name)
	}
	if _, err := find(by(-time.Hour, time.Minute, value(3), 1)); !errors.Is(err, ErrExpired) {
		t.Errorf("signed for a minute by a clock an hour behind: %v", err)
	}
	ahead := by(time.Hour, 2*time.Hour, value(0), 1)
	if m, err := find(ahead); err != nil || m.Root != root(0) {
		t.Errorf("by a clock ahead: %+v, %v", m, err)
	}
	key, err := k.Export(FormatProtobuf)
	if err != nil {
		t.Fatal(err)
	}
	behind := newStore(t)
	owned, err := behind.Import("app", key, ahead)
	if err != nil {
		t.Fatal(err)
	}
	moved, err := move(t, publisher(t, behind), owned, value(1), Move{Lifetime: time.Hour})
	if err != nil || moved.Sequence != 2 {
		t.Fatalf("moved by a clock behind: %+v, %v", moved, err)
	}
	if err := s.change(k.Name, func(st *state) error { st.Got = time.Time{}; return nil }); err != nil {
		t.Fatal(err)
	}
	if m, err := find(moved.Raw); err != nil || m.Root != root(1) {
		t.Errorf("the later sequence ends first: %+v, %v", m, err)
	}
	if err := s.change(k.Name, func(st *state) error { st.Got = time.Time{}; return nil }); err != nil {
		t.Fatal(err)
	}
	if m, err := find(ahead); err != nil || m.Root != root(1) {
		t.Errorf("the older one ends later: %+v, %v", m, err)
	}
}
