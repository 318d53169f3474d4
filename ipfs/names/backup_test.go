package names

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/test/wording"
)

// What was seen of names here counts elsewhere: nobody is led back to an older record there.
func TestSeenElsewhere(t *testing.T) {
	s, elsewhere := newStore(t), newStore(t)
	k := created(t, s)
	p := publisher(t, s)
	for i := range 2 {
		if _, err := move(t, p, k, value(i), Move{}); err != nil {
			t.Fatal(err)
		}
	}
	seen, err := s.Seen()
	if err != nil || len(seen) != 1 {
		t.Fatal(seen, err)
	}
	if err := elsewhere.Take(k.Name, seen[k.Name]); err != nil {
		t.Fatal(err)
	}
	again, err := elsewhere.Seen()
	if err != nil || !bytes.Equal(again[k.Name], seen[k.Name]) {
		t.Error(again, err)
	}
	if err := elsewhere.Take(k.Name, signed(t, k, value(0), 1).Raw); !errors.Is(err, ErrOlder) {
		t.Errorf("an older one: %v", err)
	}
	if err := elsewhere.Take(k.Name, []byte("no record")); !errors.Is(err, ErrForged) {
		t.Errorf("a false one: %v", err)
	}
	if none, err := newStore(t).Seen(); err != nil || len(none) != 0 {
		t.Error(none, err)
	}
}

// Keys that were saved are here again, each once, with what was last seen of their names,
// and move nothing before somebody has been asked.
func TestSavedKeys(t *testing.T) {
	s, elsewhere := newStore(t), newStore(t)
	k := created(t, s)
	if _, err := move(t, publisher(t, s), k, value(0), Move{}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keys")
	if n, err := s.SaveKeys(t.Context(), path); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("others may read the keys: %v, %v", info.Mode(), err)
	}
	for i := range 2 {
		if n, left, err := loadKeys(elsewhere, path); n != 1-i || len(left) > 0 || err != nil {
			t.Errorf("time %d: %d new, %q left, %v", i, n, left, err)
		}
	}
	again, err := elsewhere.Key(k.Alias)
	if err != nil || again.Name != k.Name {
		t.Fatal(again, err)
	}
	by := publisher(t, elsewhere)
	if r, err := by.Publish(t.Context(), again, Move{}, func(context.Context) (string, error) { return value(0), nil }); !errors.Is(err, ErrUnsure) {
		t.Errorf("it moves before anybody was asked: %+v, %v", r, err)
	}
	r, err := move(t, by, again, value(1), Move{Force: true})
	if err != nil || r.Sequence != 2 {
		t.Errorf("the next record is %+v, %v", r, err)
	}
	saved, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range wording.Changed(saved) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := loadKeys(newStore(t), path)
		if err == nil {
			continue
		}
		words, is := wording.IsGo(err.Error())
		if is || !errors.Is(err, ErrKeysFile) && !errors.Is(err, ipfs.ErrCorrupt) && !strings.Contains(err.Error(), "key") {
			t.Errorf("%s: %v has %q", text, err, words)
		}
	}
	if err := os.WriteFile(path, []byte(`{"keys":"SECRET"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := loadKeys(elsewhere, path); !errors.Is(err, ErrKeysFile) || !strings.Contains(err.Error(), "field keys: expected an array, found a string") || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("what is no list: %v", err)
	}
	if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := loadKeys(elsewhere, path); !errors.Is(err, ErrKeysFile) {
		t.Errorf("another file: %v", err)
	}
}

func loadKeys(s *Store, path string) (int, []string, error) {
	saved, err := ReadKeys(context.Background(), path)
	if err != nil {
		return 0, nil, err
	}
	return s.LoadKeys(saved)
}

// TestTakenAliases: without it one key that is called as another is would keep all behind
// it from being restored.
func TestTakenAliases(t *testing.T) {
	s, elsewhere := newStore(t), newStore(t)
	for _, alias := range []string{"a", "b", "c"} {
		if _, err := s.Create(alias); err != nil {
			t.Fatal(err)
		}
	}
	mine, err := elsewhere.Create("B")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keys")
	if _, err := s.SaveKeys(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	n, left, err := loadKeys(elsewhere, path)
	if n != 2 || len(left) != 1 || left[0] != "b" || err != nil {
		t.Errorf("%d are new, %q stay away, %v", n, left, err)
	}
	if k, err := elsewhere.Key("B"); err != nil || k.Name != mine.Name {
		t.Errorf("the key that was here is %v, %v", k, err)
	}
}
