package local_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/registry/local"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// Whoever clears away by rules must get what the rule says, and keep what it does not
// say: the newest, the young, and what has another name as well.
func TestRetain(t *testing.T) {
	m := newMemory("own")
	roots := map[string]cid.Cid{}
	for day, of := range map[int]struct {
		label string
		names []string
	}{
		1: {"pr1", []string{"app:pr-1"}}, 2: {"pr2", []string{"app:pr-2"}}, 3: {"pr3", []string{"app:pr-3", "prod:1"}},
		4: {"old", []string{"app:1"}}, 5: {"new", []string{"app:1"}}, 6: {"tool", []string{"team/tool:1"}}, 7: {"bare", nil},
	} {
		roots[of.label], _ = m.publish(t, day, of.label, of.names...)
	}
	now := time.Date(2024, 1, 8, 0, 0, 0, 0, time.UTC)
	days := func(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }
	for _, row := range []struct {
		say  string
		r    local.Retention
		want []string
	}{
		{"a pattern", local.Retention{Match: []string{"app:pr-*"}}, []string{"pr1", "pr2"}}, // prod:1 has the third
		{"a repository", local.Retention{Match: []string{"app"}}, []string{"pr1", "pr2", "old", "new"}},
		{"no slash in a star", local.Retention{Match: []string{"*:1"}}, []string{"old", "new"}},
		{"both names", local.Retention{Match: []string{"app:pr-*", "prod"}}, []string{"pr1", "pr2", "pr3"}},
		{"the newest stays", local.Retention{Match: []string{"app"}, Keep: 1}, []string{"pr1", "pr2", "old"}},
		{"more than there are", local.Retention{Match: []string{"app"}, Keep: 9}, nil},
		{"by name", local.Retention{Names: []string{"app:1"}, Keep: 1}, []string{"old"}},
		{"by root", local.Retention{Names: []string{ref.Ciq(roots["pr3"])}}, []string{"pr3"}},
		{"age", local.Retention{Match: []string{"*", "*/*"}, Older: days(5)}, []string{"pr1", "pr2", "pr3"}},
		{"age and number", local.Retention{Match: []string{"app"}, Older: days(2), Keep: 2}, []string{"pr1", "pr2"}},
		{"untagged", local.Retention{Untagged: true}, []string{"old"}},
		{"untagged of others", local.Retention{Untagged: true, Match: []string{"team/*"}}, nil},
	} {
		going, staying, err := local.Stores{m}.Retain(t.Context(), row.r, now)
		var got []cid.Cid
		for _, g := range going {
			got = append(got, g.CID)
		}
		var want []cid.Cid
		for _, label := range row.want {
			want = append(want, roots[label])
		}
		if err != nil || !sameSet(got, want) {
			t.Errorf("%s: %d go, %v, want %v; staying %v", row.say, len(got), err, row.want, staying)
		}
		for _, s := range staying {
			if s.Why == "" {
				t.Errorf("%s: %s stays, and nobody says why", row.say, s.CID)
			}
		}
	}
	if _, _, err := (local.Stores{m}).Retain(t.Context(), local.Retention{Match: []string{"app:["}}, now); !errors.Is(err, local.ErrPattern) {
		t.Errorf("a broken pattern: %v", err)
	}
	if _, _, err := (local.Stores{m}).Retain(t.Context(), local.Retention{Names: []string{"nothing"}}, now); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("a name of nothing: %v", err)
	}
}

// What no store says the age of is neither the newest nor an older one.
func TestRetainOfUnknownAge(t *testing.T) {
	m := newMemory("Kubo")
	a, _ := m.publish(t, 1, "a", "app:1")
	b, _ := m.publish(t, 2, "b", "app:1")
	c, _ := m.publish(t, 3, "c", "app:1")
	d, _ := m.publish(t, 4, "d", "app:1")
	m.roots[0].Published, m.roots[1].Published = time.Time{}, time.Time{}
	for say, row := range map[string]struct {
		r     local.Retention
		going []cid.Cid
	}{
		"keep":     {local.Retention{Match: []string{"app"}, Keep: 1}, []cid.Cid{c}},
		"untagged": {local.Retention{Untagged: true}, []cid.Cid{c}},
		"neither":  {local.Retention{Match: []string{"app"}}, []cid.Cid{a, b, c, d}},
	} {
		going, staying, err := local.Stores{m}.Retain(t.Context(), row.r, time.Now())
		var got []cid.Cid
		for _, g := range going {
			got = append(got, g.CID)
		}
		if err != nil || !sameSet(got, row.going) {
			t.Errorf("%s: %v go, %v, want %v", say, got, err, row.going)
		}
		for _, s := range staying {
			if (s.CID.Equals(a) || s.CID.Equals(b)) && s.Why != "no store says how old it is" {
				t.Errorf("%s: one of unknown age stays, since %s", say, s.Why)
			}
		}
	}
}

// The newest of a repository are those that it has, not what a tag of it was and that has
// another name now.
func TestRetainCountsPresentNames(t *testing.T) {
	c := newCollected(t)
	old := c.push(t, "1", 1)
	moved := c.push(t, "2", 2)
	c.push(t, "2", 3)
	l, err := layout.Open(t.Context(), c.Store, moved)
	if err != nil {
		t.Fatal(err)
	}
	in, err := l.Inspect(t.Context())
	if err == nil {
		_, err = pushed.New(c.Store, pushed.Options{}).SetNames(t.Context(), moved, pushed.ByTag, pushed.Name{Repository: "other", Tag: "1", Image: in.Images[0].Descriptor})
	}
	if err != nil {
		t.Fatal(err)
	}
	_, staying, err := local.Stores{c.Store}.Retain(t.Context(), local.Retention{Match: []string{"app", "other"}, Keep: 2}, time.Now())
	if err != nil || !slices.ContainsFunc(staying, func(s local.Staying) bool { return s.CID.Equals(old) }) {
		t.Errorf("app:1 goes, %v; staying %v", err, staying)
	}
}

func sameSet(a, b []cid.Cid) bool {
	has := func(list []cid.Cid) func(cid.Cid) bool {
		return func(c cid.Cid) bool { return slices.ContainsFunc(list, c.Equals) }
	}
	return len(a) == len(b) && !slices.ContainsFunc(a, func(c cid.Cid) bool { return !has(b)(c) })
}

// What an image takes alone is what removing it frees; bytes that two have are freed with
// the second.
func TestUsage(t *testing.T) {
	m := newMemory("own")
	a, _ := m.publish(t, 1, "shared", "a:1")
	b, _ := m.publish(t, 2, "shared", "b:1")
	m.publish(t, 3, "of its own", "c:1")
	m.roots[1].CID = a // the very same
	all := local.Stores{m}
	usage, total, err := all.Usage(t.Context())
	if err != nil || len(usage) != 2 || !a.Equals(b) {
		t.Fatalf("%v, %v; %s and %s", usage, err, a, b)
	}
	var sum int64
	for _, u := range usage {
		if u.Err != nil || u.Alone <= 0 || u.Bytes <= u.Alone || u.Shared() != u.Bytes-u.Alone {
			t.Errorf("%s: %+v", u.CID, u)
		}
		frees, err := all.Frees(t.Context(), u.Kept)
		if err != nil || frees[0] != u.Alone {
			t.Errorf("removing %s frees %v, %v, and it has %d alone", u.CID, frees, err, u.Alone)
		}
		sum += u.Alone
	}
	if total != sum+usage[0].Shared() || usage[0].Shared() != usage[1].Shared() {
		t.Errorf("%d bytes in all, %d of them alone: %+v", total, sum, usage)
	}
	if frees, err := all.Frees(t.Context(), usage[0].Kept, usage[1].Kept); err != nil || frees[0]+frees[1] != total || frees[1] <= frees[0] {
		t.Errorf("removing all frees %d of %d, %v", frees, total, err)
	}
}
