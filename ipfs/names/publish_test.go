package names

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/boxo/ipns"
	boxopath "github.com/ipfs/boxo/path"
	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// lastSigned signs a record as any other implementation does.
func lastSigned(t *testing.T, k Key, value string, sequence uint64, until time.Time) []byte {
	t.Helper()
	p, err := boxopath.NewPath(value)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := ipns.NewRecord(k.priv, p, sequence, until, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := ipns.MarshalRecord(rec)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func publisher(t *testing.T, s *Store, places ...*place) *Publisher {
	var sources []ipfs.RecordSource
	var sinks []ipfs.RecordSink
	for _, p := range places {
		sources, sinks = append(sources, p), append(sinks, p)
	}
	return NewPublisher(s, resolver(t, s, sources...), PublisherOptions{Sinks: sinks})
}

func to(value string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return value, nil }
}

// move does what name publish does.
func move(t *testing.T, p *Publisher, k Key, value string, m Move) (Record, error) {
	t.Helper()
	if err := p.Ask(t.Context(), k); err != nil && !m.Force {
		return Record{}, err
	}
	m.Asked = true
	return p.Publish(t.Context(), k, m, to(value))
}

// A name moves forward only, also when the process is killed between signing and telling:
// what others are told is on disk before.
func TestPublish(t *testing.T) {
	dir := t.TempDir()
	s := NewStore(dir)
	k := created(t, s)
	network := &place{name: "network"}
	network.on = func(raw []byte) {
		l, err := NewStore(dir).load(k.Name) // as a process sees it that starts now
		if err != nil || string(l.Mine) != string(raw) {
			t.Errorf("what is told is not on disk: %v", err)
		}
	}
	p := publisher(t, s, network)
	for i := range 3 {
		r, err := move(t, p, k, value(i), Move{})
		if err != nil || r.Sequence != uint64(i+1) || r.Value != value(i) || r.TTL != DefaultTTL || time.Until(r.Until) < DefaultLifetime-time.Minute {
			t.Fatalf("%+v, %v", r, err)
		}
		if sent := p.Send(t.Context(), r); sent.Failed != nil || len(sent.To) != 1 {
			t.Fatalf("%+v", sent)
		}
	}
	m, err := resolver(t, newStore(t), network).Find(t.Context(), k.Name)
	if err != nil || m.Root.String() != roots[2] || m.Sequence != 3 {
		t.Errorf("elsewhere: %+v, %v", m, err)
	}
	m, err = resolver(t, s).Find(t.Context(), k.Name)
	if err != nil || len(m.Before) != 2 || m.Before[0].String() != roots[1] || m.Before[1].String() != roots[0] {
		t.Errorf("here: %+v, %v", m, err)
	}
	owned, err := s.Owned()
	if err != nil || len(owned) != 1 || owned[0].Sequence != 3 || owned[0].Root.String() != roots[2] || owned[0].Stopped != "" {
		t.Errorf("%+v, %v", owned, err)
	}
}

// Two machines with one key: the one that sees the other's record stops, and does not
// move the name until it is told to.
func TestTwoWriters(t *testing.T) {
	network := &place{name: "network"}
	first := newStore(t)
	k := created(t, first)
	p := publisher(t, first, network)
	r, err := move(t, p, k, value(0), Move{})
	if err != nil {
		t.Fatal(err)
	}
	p.Send(t.Context(), r)

	network.set(lastSigned(t, k, value(1), 2, time.Now().Add(time.Hour)), nil)
	if _, err := move(t, p, k, value(2), Move{}); !errors.Is(err, ErrOtherWriter) {
		t.Fatalf("the name was moved elsewhere: %v", err)
	}
	owned, err := first.Owned()
	if err != nil || owned[0].Stopped == "" || owned[0].Sequence != 2 {
		t.Errorf("%+v, %v", owned, err)
	}
	before := network.took
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	p.Run(ctx)
	if network.took != before {
		t.Error("it goes on publishing what another has moved")
	}
	r, err = move(t, p, k, value(2), Move{Force: true})
	if err != nil || r.Sequence != 3 {
		t.Errorf("forced: %+v, %v", r, err)
	}
}

// A key that is moved to another machine goes on behind its last record: from the file
// beside it, or from what others have. Where neither is there, nothing is moved.
func TestMovedToAnotherMachine(t *testing.T) {
	network := &place{name: "network"}
	first := newStore(t)
	k := created(t, first)
	p := publisher(t, first, network)
	for i := range 5 {
		r, err := move(t, p, k, value(i%4), Move{})
		if err != nil {
			t.Fatal(err)
		}
		p.Send(t.Context(), r)
	}
	key, err := k.Export(FormatProtobuf)
	if err != nil {
		t.Fatal(err)
	}
	last := network.has()
	for name, c := range map[string]struct {
		record []byte
		ask    *place
		want   uint64
	}{
		"with its record, offline":   {last, &place{name: "dead", err: ipfs.ErrUnavailable}, 6},
		"without it, others know":    {nil, &place{name: "network", raw: last}, 6},
		"without it, nobody answers": {nil, &place{name: "dead", err: ipfs.ErrUnavailable}, 0},
		"without it, nobody knows":   {nil, &place{name: "offline"}, 0},
		"with the highest sequence":  {lastSigned(t, k, value(0), math.MaxUint64, time.Now().Add(time.Hour)), &place{name: "network"}, 0},
	} {
		s := newStore(t)
		moved, err := s.Import("moved", key, c.record)
		if err != nil {
			t.Fatal(err)
		}
		r, err := move(t, publisher(t, s, c.ask), moved, value(1), Move{})
		if c.want == 0 && !errors.Is(err, ErrUnsure) && (c.record == nil || !errors.Is(err, ErrKey)) || c.want > 0 && (err != nil || r.Sequence != c.want) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// Names outlive restarts: a process that starts tells others at once, and signs again
// what would expire.
func TestRepublish(t *testing.T) { synctest.Test(t, republish) }

func republish(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "names")
	k := created(t, NewStore(dir))
	s := NewStore(dir)
	if _, err := move(t, publisher(t, s), k, value(0), Move{Lifetime: 4 * time.Second}); err != nil {
		t.Fatal(err)
	}
	first, err := s.load(k.Name)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a restart in between
		network := &place{name: "network"}
		stop := publisher(t, NewStore(dir), network).Start(t.Context())
		until(t, func() bool {
			r, err := Verify(k.Name, network.has())
			return err == nil && r.Until.After(first.seen.Until)
		})
		stop()
		r, err := Verify(k.Name, network.has())
		if err != nil || r.Sequence != 1 || r.Value != value(0) {
			t.Fatalf("%+v, %v", r, err)
		}
		if first, err = s.load(k.Name); err != nil {
			t.Fatal(err)
		}
	}
}

// The last of several pushes at once is what the name means, and every push has a
// sequence of its own.
func TestFollow(t *testing.T) {
	s := newStore(t)
	k := created(t, s)
	var mu sync.Mutex
	now := 0
	f, err := NewFollowing(publisher(t, s), []Follow{{Key: "app", Repository: "team/app", Tag: "stable"}}, func(context.Context, string, string) (cid.Cid, error) {
		mu.Lock()
		defer mu.Unlock()
		return root(now), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			mu.Lock()
			now = i
			mu.Unlock()
			if moved, err := f.Moved(t.Context(), "team/app", Pushed{Tag: "stable"}); err != nil || len(moved) != 1 || moved[0].Name != k.Name {
				t.Errorf("%v, %v", moved, err)
			}
		})
	}
	all.Wait()
	m, err := resolver(t, s).Find(t.Context(), k.Name)
	if err != nil || m.Sequence != 4 || m.Root.String() != roots[now] {
		t.Errorf("%+v, %v; want %s", m, err, roots[now])
	}
	for _, other := range [][2]string{{"team/app", "1"}, {"app", "stable"}} {
		if moved, err := f.Moved(t.Context(), other[0], Pushed{Tag: other[1]}); err != nil || len(moved) != 0 {
			t.Errorf("%v moves %v, %v", other, moved, err)
		}
	}
	for _, bad := range []string{"app", "app=", "=x", "app=X:1", "app=x:", "a/b=x"} {
		if _, err := ParseFollow(bad); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := NewFollowing(publisher(t, s), []Follow{{Key: "none"}}, nil); !errors.Is(err, ErrNoKey) {
		t.Error(err)
	}
}

// A key moves nothing by what is kept here alone when others may know more: it was
// imported, if only its file was restored, too.
func TestUnsure(t *testing.T) {
	k := created(t, newStore(t))
	key, err := k.Export(FormatProtobuf)
	if err != nil {
		t.Fatal(err)
	}
	pulled := newStore(t)
	if err := pulled.take(signed(t, k, value(0), 3), time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := pulled.Import("app", key, nil); err != nil {
		t.Fatal(err)
	}
	restored := newStore(t)
	if _, err := restored.Import("app", key, signed(t, k, value(0), 3).Raw); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(restored.stateFile(k.Name)); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*Store{"pulled before": pulled, "without its state": restored} {
		network := &place{name: "network", err: ipfs.ErrUnavailable}
		p := publisher(t, s, network)
		if r, err := move(t, p, k, value(1), Move{}); !errors.Is(err, ErrUnsure) {
			t.Errorf("%s: it moves to %d, %v", name, r.Sequence, err)
		}
		if r, err := p.Publish(t.Context(), k, Move{}, to(value(1))); !errors.Is(err, ErrUnsure) {
			t.Errorf("%s: without asking it moves to %d, %v", name, r.Sequence, err)
		}
		network.set(signed(t, k, value(2), 9).Raw, nil)
		if r, err := move(t, publisher(t, s, network), k, value(1), Move{}); err != nil || r.Sequence != 10 {
			t.Errorf("%s: when others tell: %d, %v", name, r.Sequence, err)
		}
	}
}

// No key is here of which it is not written down where it comes from.
func TestStateBeforeKey(t *testing.T) {
	key, err := created(t, newStore(t)).Export(FormatProtobuf)
	if err != nil {
		t.Fatal(err)
	}
	s := newStore(t)
	if err := os.WriteFile(filepath.Join(s.dir, "seen"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create("made"); err == nil {
		t.Error("made without a state")
	}
	if _, err := s.Import("imported", key, nil); err == nil {
		t.Error("imported without a state")
	}
	if keys, err := s.Keys(); err != nil || len(keys) != 0 {
		t.Errorf("%+v, %v", keys, err)
	}
}

// A push moves the name of an imported key behind the last record that others tell, and
// none of a key that was taken away meanwhile.
func TestFollowImportedAndRemoved(t *testing.T) {
	k := created(t, newStore(t))
	key, err := k.Export(FormatProtobuf)
	if err != nil {
		t.Fatal(err)
	}
	s := newStore(t)
	if _, err := s.Import("app", key, nil); err != nil {
		t.Fatal(err)
	}
	network := &place{name: "network"}
	follow := func() *Following {
		f, err := NewFollowing(publisher(t, s, network), []Follow{{Key: "app", Repository: "app"}}, func(context.Context, string, string) (cid.Cid, error) { return root(1), nil })
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if moved, err := follow().Moved(t.Context(), "app", Pushed{Tag: "1"}); !errors.Is(err, ErrUnsure) || len(moved) != 0 {
		t.Errorf("nobody knows it: %v, %v", moved, err)
	}
	network.set(signed(t, k, value(0), 7).Raw, nil)
	f := follow()
	if moved, err := f.Moved(t.Context(), "app", Pushed{Tag: "1"}); err != nil || len(moved) != 1 {
		t.Errorf("others know it: %v, %v", moved, err)
	}
	if _, err := s.RemoveKey("app"); err != nil {
		t.Fatal(err)
	}
	if moved, err := f.Moved(t.Context(), "app", Pushed{Tag: "1"}); !errors.Is(err, ErrNoKey) || len(moved) != 0 {
		t.Errorf("removed: %v, %v", moved, err)
	}
	if r, err := f.publisher.renew(k); !errors.Is(err, ErrNoKey) {
		t.Errorf("signed anew when removed: %+v, %v", r, err)
	}
	if _, err := s.Create("app"); err != nil {
		t.Fatal(err)
	}
	if moved, err := f.Moved(t.Context(), "app", Pushed{Tag: "1"}); !errors.Is(err, ErrNoKey) || len(moved) != 0 {
		t.Errorf("another is called so: %v, %v", moved, err)
	}
	if l, err := s.load(k.Name); err != nil || l.seen.Sequence != 8 {
		t.Errorf("%d, %v", l.seen.Sequence, err)
	}
}

// Who changes a state sees what another process has just written, whatever its time.
func TestChangeReadsAnew(t *testing.T) {
	s := newStore(t)
	k := created(t, s)
	path, when := s.stateFile(k.Name), time.Now()
	for _, text := range []string{`{"stopped":"a"}`, `{"stopped":"b"}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
		if _, err := s.load(k.Name); err != nil {
			t.Fatal(err)
		}
	}
	err := s.change(k.Name, func(st *state) error {
		if st.Stopped != "b" {
			t.Errorf("it reads %q", st.Stopped)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
