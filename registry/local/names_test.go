package local_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/local"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// A name that tag takes means afterwards what it was given, in each spelling of it: one
// without a tag is that of :latest, and only what has none there is what came last.
func TestFindWithoutTag(t *testing.T) {
	c := newCollected(t)
	one, two := c.push(t, "1", 1), c.push(t, "2", 2)
	all := local.Stores{c.Store}
	if got, err := all.Find(t.Context(), "app"); err != nil || !got.Root.Equals(two) {
		t.Errorf("app, which has no :latest: %s, %v, want the newest, %s", got, err, two)
	}
	if _, _, err := all.Tag(t.Context(), "app", "app:1"); err != nil {
		t.Fatal(err)
	}
	for _, arg := range []string{"app", "app:latest", "localhost:5000/app", "docker.io/library/app"} {
		if got, err := all.Find(t.Context(), arg); err != nil || !got.Root.Equals(one) {
			t.Errorf("%s: %s, %v, want %s, as it was tagged", arg, got, err, one)
		}
	}
	if _, err := all.Untag(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	if got, err := all.Find(t.Context(), "app"); err != nil || !got.Root.Equals(two) {
		t.Errorf("app, untagged: %s, %v, want the newest, %s", got, err, two)
	}
}

// A name of nothing in a layout is refused before anything is done by it; of a layout
// that is not here nobody knows, and a root alone always means something.
func TestCheck(t *testing.T) {
	m := newMemory("own")
	l := testlayout.New(t, m)
	root := l.Publish(oci.Named(l.Image("amd64", []byte("one")), "app:1"), oci.Named(l.Image("amd64", []byte("two")), "db:1"))
	gone := testlayout.New(t, testlayout.NewBlocks()).Publish()
	stores := local.Stores{m}
	for _, n := range []ref.Name{{Root: root}, {Root: root, Repository: "app", Tag: "1"}, {Root: gone, Repository: "web"}} {
		if err := stores.Check(t.Context(), n); err != nil {
			t.Errorf("%s: %v", n, err)
		}
	}
	for _, n := range []ref.Name{{Root: root, Repository: "web"}, {Root: root, Repository: "app", Tag: "9"}} {
		if err := stores.Check(t.Context(), n); !errors.Is(err, ipfs.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", n, err)
		}
	}
}

// Who has no store that keeps local names is told so, by a name for the error.
func TestNoNames(t *testing.T) {
	m := newMemory("Kubo") // no [ipfs.Recorder]
	m.publish(t, 1, "one", "app:1")
	all := local.Stores{m}
	_, _, tag := all.Tag(t.Context(), "app:2", "app:1")
	_, untag := all.Untag(t.Context(), "app:1")
	_, history := all.History(t.Context(), "app")
	for what, err := range map[string]error{"tag": tag, "untag": untag, "history": history} {
		if !errors.Is(err, local.ErrNoNames) {
			t.Errorf("%s: %v, want ErrNoNames", what, err)
		}
	}
}

// What is published gets the local names that engines can ask for, and no other; images
// are counted by their digests, not by their names.
func TestPublishNames(t *testing.T) {
	c := newCollected(t)
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	one, two := l.Image("amd64", []byte("one")), l.Image("amd64", []byte("two"))
	root := l.Publish(oci.Named(one, "app:1"), oci.Named(one, "app:2"), oci.Named(two, "db:1"))
	tx, err := c.Begin(t.Context())
	if err == nil {
		err = blocks.PutInto(t.Context(), tx)
	}
	if err == nil {
		_, err = tx.Commit(t.Context(), ipfs.Root{CID: root})
	}
	if err != nil {
		t.Fatal(err)
	}
	images := []local.Image{{Name: "app:1", Descriptor: one}, {Name: "app:2", Descriptor: one}, {Name: "db:1", Descriptor: two}, {Name: "db", Descriptor: two}, {Name: ":3", Descriptor: two}, {Name: "App:1", Descriptor: two}, {Name: "app:1", Descriptor: one}}
	if n := local.CountImages(images); n != 2 {
		t.Errorf("%d images, want 2", n)
	}
	done, err := local.Publish(t.Context(), c.Store, root, images)
	if err != nil || !slices.Equal(done.Set, []string{"app:1", "app:2", "db:1"}) || len(done.Left) > 0 {
		t.Errorf("%+v, %v", done, err)
	}
	if done, err := local.Publish(t.Context(), newMemory("Kubo"), root, images); err != nil || len(done.Set)+len(done.Left) > 0 {
		t.Errorf("on a store without local names: %+v, %v", done, err)
	}
}

// What no store keeps cannot be removed, unless a record that cannot be read may keep it.
func TestIsKept(t *testing.T) {
	m := newMemory("own")
	root, _ := m.publish(t, 1, "one", "app:1")
	gone := testlayout.New(t, testlayout.NewBlocks()).Publish()
	all := local.Stores{m}
	if err := all.IsKept(t.Context(), local.Match{Name: ref.Name{Root: root}}); err != nil {
		t.Errorf("what is kept: %v", err)
	}
	if err := all.IsKept(t.Context(), local.Match{Name: ref.Name{Root: gone}}); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("what is not: %v, want ErrNotFound", err)
	}
	m.err = ipfs.ErrCorrupt
	if err := all.IsKept(t.Context(), local.Match{Name: ref.Name{Root: gone}}); err != nil {
		t.Errorf("what a damaged record may keep: %v", err)
	}
}

// Something once a day is due at its time today or tomorrow, on months' ends, too.
func TestSchedule(t *testing.T) {
	at := func(text string) time.Time {
		d, err := time.Parse(time.DateTime, text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	daily := local.Schedule{Daily: true, At: 3*time.Hour + 30*time.Minute}
	for _, row := range []struct {
		s           local.Schedule
		after, want string
	}{
		{daily, "2024-01-31 03:29:59", "2024-01-31 03:30:00"},
		{daily, "2024-01-31 03:30:00", "2024-02-01 03:30:00"},
		{local.Schedule{Daily: true}, "2024-12-31 00:00:01", "2025-01-01 00:00:00"},
		{local.Schedule{Every: 24 * time.Hour}, "2024-01-31 12:00:00", "2024-02-01 12:00:00"},
	} {
		if got := row.s.Next(at(row.after)); !got.Equal(at(row.want)) {
			t.Errorf("%+v after %s: %s, want %s", row.s, row.after, got, row.want)
		}
	}
}

// What is set and taken away is a name, and no digest.
func TestParseNameWithDigest(t *testing.T) {
	for _, arg := range []string{"app:1@" + digest.FromString("x").String(), "app@sha256:1", "app:1@"} {
		if _, _, err := local.ParseName(arg); err == nil || !strings.Contains(err.Error(), "no part of a local name: app") {
			t.Errorf("%s: %v", arg, err)
		}
	}
	if repository, tag, err := local.ParseName("team/app"); err != nil || repository != "team/app" || tag != oci.DefaultTag {
		t.Errorf("team/app: %s %s, %v", repository, tag, err)
	}
}
