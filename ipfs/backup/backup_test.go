package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/backup"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

// open opens a new store.
func open(t *testing.T) *packstore.Store {
	t.Helper()
	s, err := packstore.Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// kept are two images that share half, a record of one that is no root, and one that is over
// soon.
func kept(t *testing.T, s *packstore.Store) {
	t.Helper()
	shared := storetest.Random(3<<20, "shared")
	storetest.Publish(t, s, map[string][]byte{"shared": shared, "own": storetest.Random(1<<20, "one")})
	storetest.Publish(t, s, map[string][]byte{"shared": shared, "own": storetest.Random(1<<20, "two")})
	record(t, s, "tag", "app", "1", storetest.Random(1<<10, "recorded"))
	record(t, s, "referrer", "app@sha256:x", "y", storetest.Random(1<<10, "other"))
}

func record(t *testing.T, s *packstore.Store, kind, space, name string, data []byte) ipfs.Record {
	t.Helper()
	tx, err := s.BeginRecords(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	link, err := ipfs.AddFile(t.Context(), tx, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	r := ipfs.Record{Key: ipfs.Key{Kind: kind, Space: space, Name: name}, CID: link.CID, Value: []byte(`{"a":1}`)}
	if _, err := tx.CommitRecords(t.Context(), nil, r); err != nil {
		t.Fatal(err)
	}
	return r
}

// backupOf copies a store.
func backupOf(t *testing.T, s *packstore.Store) []byte {
	t.Helper()
	snap, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Release()
	var out bytes.Buffer
	if _, err := backup.Write(t.Context(), &out, snap, backup.Contents{Roots: snap.Roots, Records: snap.Records}, backup.Options{}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// state is all that a store keeps, in words.
func state(t *testing.T, s *packstore.Store) string {
	t.Helper()
	snap, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Release()
	var all []string
	add := func(text string, c cid.Cid) {
		bytes := 0
		err := ipfs.Blocks(t.Context(), ipfs.Verified(snap), c, 0, func(b cid.Cid, _ int64) bool {
			data, err := ipfs.Verified(snap).Get(t.Context(), b)
			if err != nil {
				t.Error(err)
			}
			bytes += len(data)
			return true
		})
		all = append(all, fmt.Sprintf("%s %s %d %v", text, c, bytes, err))
	}
	for _, r := range snap.Roots {
		add(fmt.Sprint("root ", r.Names, r.Published.UTC(), r.Size, r.Pushed), r.CID)
	}
	for _, r := range snap.Records {
		add(fmt.Sprint("record ", r.Key, r.Until, string(r.Value)), r.CID)
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// What was copied is elsewhere what it was here, also after gc, and bringing it again
// changes nothing.
func TestElsewhere(t *testing.T) {
	s, elsewhere := open(t), open(t)
	kept(t, s)
	data := backupOf(t, s)
	for range 2 {
		done, err := backup.Read(t.Context(), bytes.NewReader(data), elsewhere, backup.Options{})
		if err != nil || len(done.Left) > 0 || len(done.Roots) != 2 {
			t.Fatalf("%+v, %v", done, err)
		}
		if _, err := elsewhere.GC(t.Context(), packstore.GCOptions{}); err != nil {
			t.Fatal(err)
		}
		if got, want := state(t, elsewhere), state(t, s); got != want {
			t.Errorf("elsewhere is\n%s\nhere\n%s", got, want)
		}
	}
	if shared := 3 << 20; len(data) > 6<<20 || len(data) < shared {
		t.Errorf("the backup has %d bytes: what is shared is in it once", len(data))
	}
}

// What something else means in the store stays, unless it is to be replaced.
func TestLeft(t *testing.T) {
	s, elsewhere := open(t), open(t)
	kept(t, s)
	mine := record(t, elsewhere, "tag", "app", "1", []byte("mine"))
	data := backupOf(t, s)
	done, err := backup.Read(t.Context(), bytes.NewReader(data), elsewhere, backup.Options{})
	if err != nil || len(done.Left) != 1 || done.Left[0].Key != mine.Key || done.Records != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	if r, err := elsewhere.Record(t.Context(), mine.Key); err != nil || !r.CID.Equals(mine.CID) {
		t.Errorf("it is %v, %v", r, err)
	}
	if done, err = backup.Read(t.Context(), bytes.NewReader(data), elsewhere, backup.Options{Replace: true}); err != nil || len(done.Left) != 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	if r, err := elsewhere.Record(t.Context(), mine.Key); err != nil || r.CID.Equals(mine.CID) {
		t.Errorf("replaced it is %v, %v", r, err)
	}
}

// A blob that is kept for good since its image was pushed loses nothing by a backup of when
// it was kept for a day: neither the same, nor another cut of the same bytes.
func TestReplaceShortensNothing(t *testing.T) {
	for _, row := range []struct {
		say        string
		was        time.Duration // for how long what the backup has is kept; 0 for ever
		is         time.Duration
		want       time.Duration
		other      bool // another content is there by then
		otherValue bool
	}{
		{say: "the same, for good by now", was: 24 * time.Hour, is: 0, want: 0},
		{say: "the same, for longer by now", was: 24 * time.Hour, is: 48 * time.Hour, want: 48 * time.Hour},
		{say: "the same, for good in the backup", was: 0, is: 24 * time.Hour, want: 0},
		{say: "another, for good by now", was: 24 * time.Hour, is: 0, want: 0, other: true},
		{say: "another value, for good by now", was: 24 * time.Hour, is: 0, want: 0, otherValue: true},
		{say: "another, for less by now", was: 48 * time.Hour, is: 24 * time.Hour, want: 48 * time.Hour, other: true},
	} {
		s, start := open(t), time.Now().UTC().Truncate(time.Second)
		until := func(d time.Duration) time.Time {
			if d == 0 {
				return time.Time{}
			}
			return start.Add(d)
		}
		was := recordUntil(t, s, []byte("blob"), until(row.was), `{"a":1}`)
		data := backupOf(t, s)
		content, value := []byte("blob"), `{"a":1}`
		if row.other {
			content = []byte("another")
		}
		if row.otherValue {
			value = `{"a":2}`
		}
		recordUntil(t, s, content, until(row.is), value)
		if _, err := backup.Read(t.Context(), bytes.NewReader(data), s, backup.Options{Replace: true}); err != nil {
			t.Fatal(err)
		}
		r, err := s.Record(t.Context(), was.Key)
		if err != nil || !r.CID.Equals(was.CID) || string(r.Value) != `{"a":1}` || !r.Until.Equal(until(row.want)) {
			t.Errorf("%s: it is %s until %v, want %v; %v", row.say, r.Value, r.Until, until(row.want), err)
		}
	}
}

// recordUntil keeps a blob for a time.
func recordUntil(t *testing.T, s *packstore.Store, data []byte, until time.Time, value string) ipfs.Record {
	t.Helper()
	tx, err := s.BeginRecords(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	link, err := ipfs.AddFile(t.Context(), tx, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	r := ipfs.Record{Key: ipfs.Key{Kind: "blob", Space: "app", Name: "sha256:x"}, CID: link.CID, Until: until, Value: []byte(value)}
	if _, err := tx.CommitRecords(t.Context(), nil, r); err != nil {
		t.Fatal(err)
	}
	return r
}

// A backup that was cut anywhere, or in which anything is wrong, is refused, and leaves the
// store as it was.
func TestRefused(t *testing.T) {
	s, elsewhere := open(t), open(t)
	kept(t, s)
	storetest.Publish(t, elsewhere, map[string][]byte{"f": []byte("mine")})
	before := state(t, elsewhere)
	data := backupOf(t, s)
	refuse := func(name string, data []byte) {
		t.Helper()
		if _, err := backup.Read(t.Context(), bytes.NewReader(data), elsewhere, backup.Options{}); !errors.Is(err, backup.ErrFormat) || errors.Is(err, ipfs.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for at := 0; at < len(data); at += max(1, len(data)/97) {
		refuse(fmt.Sprintf("cut at %d", at), data[:at])
		wrong := bytes.Clone(data)
		wrong[at] ^= 0x20
		refuse(fmt.Sprintf("byte %d is wrong", at), wrong)
	}
	refuse("the last byte is missing", data[:len(data)-1])
	refuse("there is more", append(bytes.Clone(data), data[len(data)-100:]...))
	refuse("text", []byte("this is no CAR"))
	if got := state(t, elsewhere); got != before {
		t.Errorf("the store was\n%s\nand is\n%s", before, got)
	}
	files, err := os.ReadDir(filepath.Join(elsewhere.Path(), "tmp"))
	if err != nil || len(files) > 0 {
		t.Errorf("left behind are %v, %v", files, err)
	}
}

// A reader that fails is told by its own error: the backup may be whole.
func TestReaderFails(t *testing.T) {
	s, elsewhere := open(t), open(t)
	kept(t, s)
	data := backupOf(t, s)
	broken := errors.New("the disk is gone")
	_, err := backup.Read(t.Context(), io.MultiReader(bytes.NewReader(data[:1<<20]), failing{broken}), elsewhere, backup.Options{})
	if !errors.Is(err, broken) || errors.Is(err, backup.ErrFormat) {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Pushes, removals and gc go on while a store is copied, and each copy is what the store was
// at one moment: whatever a record names is there.
func TestInUse(t *testing.T) {
	s := open(t)
	kept(t, s)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() {
		for i := 0; ; i++ {
			if ctx.Err() != nil {
				done <- nil
				return
			}
			c, _, err := publishPair(ctx, s, i)
			if err == nil && i%2 == 0 {
				err = s.Remove(ctx, c)
			}
			if err != nil && ctx.Err() == nil {
				done <- err
				return
			}
		}
	}()
	go func() {
		for ctx.Err() == nil {
			if _, err := s.GC(ctx, packstore.GCOptions{}); err != nil && ctx.Err() == nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range 8 {
		elsewhere := open(t)
		restored, err := backup.Read(t.Context(), bytes.NewReader(backupOf(t, s)), elsewhere, backup.Options{})
		if err != nil {
			t.Error(err)
			break
		}
		roots := map[string]bool{}
		for _, r := range restored.Contents.Roots {
			roots[r.CID.String()] = true
		}
		for _, r := range restored.Contents.Records { // each came with its root, in one commit
			if r.Kind == "pair" && !roots[r.CID.String()] {
				t.Errorf("record %s without its root %s: the copy is torn", r.Name, r.CID)
			}
		}
	}
	stop()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// publishPair keeps a root, and a record of it, in one commit; removing the root ends the
// record first.
func publishPair(ctx context.Context, s *packstore.Store, i int) (c cid.Cid, r ipfs.Record, err error) {
	tx, err := s.BeginRecords(ctx)
	if err != nil {
		return c, r, err
	}
	file, err := ipfs.AddFile(ctx, tx, bytes.NewReader(storetest.Random(1<<16, fmt.Sprint(i))))
	if err != nil {
		return c, r, errors.Join(err, tx.Abort())
	}
	dir, err := ipfs.AddDirectory(ctx, tx, map[string]ipfs.Link{"f": file})
	if err != nil {
		return c, r, errors.Join(err, tx.Abort())
	}
	r = ipfs.Record{Key: ipfs.Key{Kind: "pair", Space: "pairs", Name: fmt.Sprint(i)}, CID: dir.CID}
	if _, err = tx.CommitRecords(ctx, []ipfs.Root{{CID: dir.CID}}, r); err != nil {
		return c, r, err
	}
	if i%2 == 0 {
		err = s.Forget(ctx, r.Key)
	}
	return dir.CID, r, err
}
