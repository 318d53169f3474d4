package names

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
)

// roots are some that names can mean.
var roots = func() (all []string) {
	for i := range 4 {
		c, err := cid.V1Builder{Codec: cid.DagProtobuf, MhType: multihash.SHA2_256}.Sum([]byte{byte(i)})
		if err != nil {
			panic(err)
		}
		all = append(all, c.String())
	}
	return all
}()

func root(i int) cid.Cid { return cid.MustParse(roots[i]) }

func value(i int) string { return "/ipfs/" + roots[i] }

func newStore(t *testing.T) *Store { return NewStore(t.TempDir()) }

func created(t *testing.T, s *Store) Key {
	t.Helper()
	k, err := s.Create("app")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// signed makes a record that is valid for an hour.
func signed(t *testing.T, k Key, value string, sequence uint64) Record {
	t.Helper()
	r, err := sign(k.priv, k.Name, value, sequence, time.Now().Add(time.Hour), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// expired makes a record whose validity has ended.
func expired(t *testing.T, k Key, value string, sequence uint64) []byte {
	t.Helper()
	_, err := sign(k.priv, k.Name, value, sequence, time.Now().Add(-time.Hour), time.Minute)
	if !errors.Is(err, ErrExpired) {
		t.Fatalf("signing a record that has expired: %v", err)
	}
	return lastSigned(t, k, value, sequence, time.Now().Add(-time.Hour))
}

// place is a source and a sink in memory.
type place struct {
	name string
	mu   sync.Mutex
	raw  []byte
	age  time.Duration
	err  error
	took int
	wait chan struct{} // answers come when it is closed; nil for at once
	on   func(raw []byte)
}

func (p *place) String() string { return p.name }

func (p *place) Record(ctx context.Context, name string) ([]byte, time.Duration, error) {
	if p.wait != nil {
		select {
		case <-p.wait:
		case <-ctx.Done():
			return nil, 0, fmt.Errorf("%w: %w", ipfs.ErrUnavailable, ctx.Err())
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.raw == nil && p.err == nil {
		return nil, 0, fmt.Errorf("%w: %s", ipfs.ErrNotFound, name)
	}
	return p.raw, p.age, p.err
}

func (p *place) PutRecord(_ context.Context, _ string, raw []byte) error {
	if p.on != nil {
		p.on(raw)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.raw = raw
	p.took++
	return p.err
}

func (p *place) set(raw []byte, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.raw, p.err = raw, err
}

func (p *place) has() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.raw
}

func resolver(t *testing.T, s *Store, from ...ipfs.RecordSource) *Resolver {
	r := NewResolver(s, Options{Sources: from})
	t.Cleanup(func() { r.Close() })
	return r
}

// Whoever changes one bit of a record, sends too much, or what is over, must be told from
// the owner, and by name.
func TestVerify(t *testing.T) {
	s := newStore(t)
	k := created(t, s)
	other, err := s.Create("other")
	if err != nil {
		t.Fatal(err)
	}
	good := signed(t, k, value(0), 7)
	if r, err := Verify(k.Name, good.Raw); err != nil || r.Sequence != 7 || r.Value != value(0) || r.TTL != time.Minute {
		t.Fatalf("%+v, %v", r, err)
	}
	for i := range good.Raw {
		bad := bytes.Clone(good.Raw)
		bad[i] ^= 1
		r, err := Verify(k.Name, bad)
		if err == nil && (r.Value != good.Value || r.Sequence != 7 || !r.Until.Equal(good.Until)) {
			t.Fatalf("with byte %d changed it says %+v", i, r)
		}
		if err != nil && !errors.Is(err, ErrForged) {
			t.Fatalf("with byte %d changed: %v", i, err)
		}
	}
	for name, c := range map[string]struct {
		raw  []byte
		want error
	}{
		"of another key": {signed(t, other, value(0), 9).Raw, ErrForged},
		"nothing":        {nil, ErrForged},
		"no record":      {[]byte("<html>"), ErrForged},
		"oversized":      {append(bytes.Clone(good.Raw), make([]byte, MaxRecord)...), ErrTooLarge},
		"expired":        {expired(t, k, value(0), 8), ErrExpired},
	} {
		if _, err := Verify(k.Name, c.raw); !errors.Is(err, c.want) || !strings.Contains(err.Error(), k.Name) {
			t.Errorf("%s: %v, want %v with the name", name, err, c.want)
		}
	}
}

// Of many answers the newest that is signed wins, whoever else says what, and what lied
// is passed over.
func TestNewestWins(t *testing.T) { synctest.Test(t, newestWins) }

func newestWins(t *testing.T) {
	owner := newStore(t)
	k := created(t, owner)
	late := &place{name: "late", raw: signed(t, k, value(2), 30).Raw, wait: make(chan struct{})}
	r := resolver(t, newStore(t),
		&place{name: "old", raw: signed(t, k, value(0), 1).Raw},
		&place{name: "new", raw: signed(t, k, value(1), 2).Raw},
		&place{name: "forger", raw: []byte("x")},
		&place{name: "over", raw: expired(t, k, value(3), 99)},
		&place{name: "dead", err: ipfs.ErrUnavailable}, &place{name: "empty"}, late)
	m, err := r.Find(t.Context(), k.Name)
	if err != nil || m.Root.String() != roots[1] || m.Sequence != 2 || m.Stale != nil {
		t.Fatalf("%+v, %v", m, err)
	}
	close(late.wait) // what comes later counts from then on
	until(t, func() bool {
		m, err = r.Find(t.Context(), k.Name)
		return err == nil && m.Sequence == 30
	})
	if m.Root.String() != roots[2] || len(m.Before) == 0 || m.Before[0].String() != roots[1] {
		t.Errorf("%+v", m)
	}
}

// until waits for something to become true.
func until(t *testing.T, ok func() bool) {
	t.Helper()
	for begun := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatal("it does not happen")
		}
	}
}

// A record that was seen once is never followed by an older one, also after a restart and
// when the older one is all that anybody has.
func TestNoWayBack(t *testing.T) {
	k := created(t, newStore(t))
	dir := t.TempDir()
	from := &place{name: "gateway", raw: lastSigned(t, k, value(1), 5, time.Now().Add(time.Hour))}
	if m, err := resolver(t, NewStore(dir), from).Find(t.Context(), k.Name); err != nil || m.Sequence != 5 {
		t.Fatalf("%+v, %v", m, err)
	}
	from.set(signed(t, k, value(0), 4).Raw, nil)
	r := resolver(t, NewStore(dir), from)
	for range 3 {
		m, err := r.Find(t.Context(), k.Name)
		if err != nil || m.Sequence != 5 || m.Root.String() != roots[1] {
			t.Fatalf("after a replay: %+v, %v", m, err)
		}
	}
	if _, err := r.Take(k.Name, signed(t, k, value(0), 4).Raw); !errors.Is(err, ErrOlder) {
		t.Errorf("an older one that is sent: %v", err)
	}
}

// Who is offline gets the last answer and is told how old it is, until it has expired;
// then since when.
func TestOffline(t *testing.T) { synctest.Test(t, offline) }

func offline(t *testing.T) {
	k := created(t, newStore(t))
	r, err := sign(k.priv, k.Name, value(0), 3, time.Now().Add(3*time.Second), time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	from := &place{name: "gateway", raw: r.Raw}
	names := resolver(t, newStore(t), from)
	if m, err := names.Find(t.Context(), k.Name); err != nil || m.Stale != nil {
		t.Fatalf("%+v, %v", m, err)
	}
	from.set(nil, fmt.Errorf("%w: gone", ipfs.ErrUnavailable))
	time.Sleep(2 * time.Millisecond) // its TTL
	m, err := names.Find(t.Context(), k.Name)
	if err != nil || m.Root.String() != roots[0] || m.Stale == nil || !strings.Contains(m.Stale.Error(), "gone") || time.Since(m.Got) <= 0 {
		t.Fatalf("offline: %+v, %v", m, err)
	}
	until(t, func() bool { return time.Now().After(r.Until) })
	if _, err := names.Find(t.Context(), k.Name); !errors.Is(err, ErrExpired) || !errors.Is(err, ipfs.ErrUnavailable) || !strings.Contains(err.Error(), r.Until.UTC().Format(time.RFC3339)) {
		t.Errorf("when it is over: %v", err)
	}
}

// A name that nobody knows is not there; one that somebody might know is not said to be.
func TestUnknown(t *testing.T) {
	k := created(t, newStore(t))
	if _, err := resolver(t, newStore(t), &place{name: "a"}, &place{name: "b"}).Find(t.Context(), k.Name); !errors.Is(err, ErrUnknown) || errors.Is(err, ipfs.ErrUnavailable) {
		t.Errorf("nobody has it: %v", err)
	}
	if _, err := resolver(t, newStore(t), &place{name: "a"}, &place{name: "b", err: ipfs.ErrUnavailable}).Find(t.Context(), k.Name); !errors.Is(err, ipfs.ErrUnavailable) {
		t.Errorf("one did not answer: %v", err)
	}
	if _, err := resolver(t, newStore(t)).Find(t.Context(), k.Name); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "nobody to ask") {
		t.Errorf("nobody to ask: %v", err)
	}
	if _, err := resolver(t, newStore(t), &place{name: "f", raw: []byte("x")}).Find(t.Context(), k.Name); !errors.Is(err, ErrForged) {
		t.Errorf("only a forger answers: %v", err)
	}
}

// What is no root is not taken for one.
func TestNoRoot(t *testing.T) {
	k := created(t, newStore(t))
	for value, want := range map[string]error{
		value(0) + "/below": ErrNoRoot, "/ipfs/bafkqaaa": ErrNoRoot, "/ipns/" + k.Name: ErrNoRoot,
	} {
		r := resolver(t, newStore(t), &place{name: "g", raw: signed(t, k, value, 1).Raw})
		if m, err := r.Find(t.Context(), k.Name); !errors.Is(err, want) || errors.Is(err, ref.ErrNotRoot) { // which is a usage error
			t.Errorf("%s: %+v, %v", value, m, err)
		}
	}
}

// Keys go to Kubo's formats and back, and no key is lost to another of its name.
func TestKeys(t *testing.T) {
	s, elsewhere := newStore(t), newStore(t)
	k := created(t, s)
	if _, err := s.Create("App"); !errors.Is(err, ErrKeyExists) {
		t.Errorf("twice: %v", err)
	}
	for _, bad := range []string{"", "self", "../x", "a/b", ".x", strings.Repeat("x", 65)} {
		if _, err := s.Create(bad); !errors.Is(err, ErrKey) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for i, format := range []string{FormatProtobuf, FormatPEM} {
		data, err := k.Export(format)
		if err != nil {
			t.Fatal(err)
		}
		got, err := elsewhere.Import(fmt.Sprint("k", i), data, nil)
		if err != nil || got.Name != k.Name {
			t.Errorf("%s: %+v, %v", format, got, err)
		}
		if _, err := elsewhere.RemoveKey(k.Name); err != nil {
			t.Error(err)
		}
	}
	if _, err := elsewhere.Key("k0"); !errors.Is(err, ErrNoKey) {
		t.Errorf("removed: %v", err)
	}
	if _, err := elsewhere.Import("x", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), nil); !errors.Is(err, ErrKey) {
		t.Errorf("a certificate: %v", err)
	}
	if _, err := elsewhere.Import("x", []byte("secret text"), nil); !errors.Is(err, ErrKey) || strings.Contains(err.Error(), "secret") {
		t.Errorf("no key: %v", err)
	}
	info, err := os.Stat(s.keyFile("app"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if !ref.IsIPNS(k.Name) || len(k.Name) != 62 {
		t.Errorf("name %s", k.Name)
	}
}
