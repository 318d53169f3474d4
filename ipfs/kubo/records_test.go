package kubo

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// site is a Kubo that is pushed to.
type site struct {
	*testing.T
	d *daemon
	r *Recorder
}

func newSite(t *testing.T) *site {
	d := startKubo(t)
	records, err := packstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := records.Close(); err != nil {
			t.Error(err)
		}
	})
	return &site{t, d, d.store(t).Recorder(records)}
}

func (s *site) gc() { s.d.ipfs(s, "repo", "gc", "--quiet") }

// has tells whether Kubo has a content, whole.
func (s *site) has(c cid.Cid) bool {
	s.Helper()
	f, err := ipfs.OpenFile(s.Context(), s.r, c, 0)
	if err == nil {
		defer f.Close()
		_, err = io.Copy(io.Discard, f)
	}
	if err != nil && !errors.Is(err, ipfs.ErrNotFound) {
		s.Fatal(err)
	}
	return err == nil
}

// keep keeps a content by records.
func (s *site) keep(text string, keys ...ipfs.Key) cid.Cid {
	s.Helper()
	tx, err := s.r.BeginRecords(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	f, err := ipfs.AddFile(s.Context(), tx, strings.NewReader(text))
	if err != nil {
		s.Fatal(err)
	}
	var records []ipfs.Record
	for _, k := range keys {
		records = append(records, ipfs.Record{Key: k, CID: f.CID, Value: json.RawMessage(`{"a":1}`)})
	}
	if _, err := tx.CommitRecords(s.Context(), nil, records...); err != nil {
		s.Fatal(err)
	}
	return f.CID
}

func key(kind, space, name string) ipfs.Key { return ipfs.Key{Kind: kind, Space: space, Name: name} }

// What a record keeps survives Kubo's garbage collection, as long as one of those that
// name it does, and is no published root.
func TestRecords(t *testing.T) {
	s := newSite(t)
	long := strings.Repeat("ä", 200)
	one, two, other := key("blob", "team/app", "x"), key("blob", "other", "x"), key("tag", long, long)
	c := s.keep(strings.Repeat("content ", 300_000), one, two)
	d := s.keep("other", other)
	s.gc()
	got, err := s.r.Record(t.Context(), one)
	if err != nil || got.Key != one || got.CID != c || string(got.Value) != `{"a":1}` || !s.has(c) || !s.has(d) {
		t.Errorf("%+v, %v", got, err)
	}
	if all, err := s.r.Records(t.Context(), "blob", "other"); err != nil || len(all) != 1 || all[0].Key != two {
		t.Errorf("records %+v, %v", all, err)
	}
	if spaces, err := s.r.Spaces(t.Context(), "blob"); err != nil || strings.Join(spaces, ",") != "other,team/app" {
		t.Errorf("spaces %q, %v", spaces, err)
	}
	if roots, err := s.r.Roots(t.Context()); err != nil || len(roots) > 0 {
		t.Errorf("published %v, %v", roots, err)
	}
	for i, k := range []ipfs.Key{one, two} {
		if err := s.r.Forget(t.Context(), k, key("blob", "none", "x")); err != nil {
			t.Fatal(err)
		}
		s.gc()
		if s.has(c) != (i == 0) || !s.has(d) {
			t.Errorf("after %d were forgotten: %t, the other %t", i+1, s.has(c), s.has(d))
		}
	}
	if _, err := s.r.Record(t.Context(), one); !errors.Is(err, ipfs.ErrNotFound) {
		t.Error(err)
	}
}

// A record that is over keeps nothing from the next look on, and what is pinned by
// others, or published, is left alone.
func TestRecordsAreOver(t *testing.T) {
	s := newSite(t)
	tx, err := s.r.BeginRecords(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var files []ipfs.Link
	for _, text := range []string{"over", "theirs", "published"} {
		f, err := ipfs.AddFile(t.Context(), tx, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	over := ipfs.Record{Key: key("blob", "app", "over"), CID: files[0].CID, Until: time.Now().Add(500 * time.Millisecond)}
	theirs := ipfs.Record{Key: key("blob", "app", "theirs"), CID: files[1].CID}
	if _, err := tx.CommitRecords(t.Context(), []ipfs.Root{{CID: files[2].CID, Names: []string{"app:1"}}}, over, theirs); err != nil {
		t.Fatal(err)
	}
	s.d.ipfs(t, "pin", "add", "--name", "mine", files[1].CID.String())
	for time.Now().Before(over.Until) {
		time.Sleep(10 * time.Millisecond)
	}
	s.r.swept = time.Time{}
	s.keep("another", key("blob", "app", "another"))
	if err := s.r.Forget(t.Context(), theirs.Key); err != nil {
		t.Fatal(err)
	}
	s.gc()
	if s.has(files[0].CID) || !s.has(files[1].CID) || !s.has(files[2].CID) {
		t.Errorf("over %t, theirs %t, published %t", s.has(files[0].CID), s.has(files[1].CID), s.has(files[2].CID))
	}
	if roots, err := s.r.Roots(t.Context()); err != nil || len(roots) != 1 || roots[0].Names[0] != "app:1" {
		t.Errorf("published %v, %v", roots, err)
	}
}

// push pushes an image as app:1, with Kubo's garbage collected after each blob.
func (s *site) push(g *pushed.Registry, layer []byte) cid.Cid {
	s.Helper()
	blob := func(data []byte) ocispec.Descriptor {
		u := g.Begin(s.Context(), "app", digest.SHA256)
		if _, err := u.Write(data); err != nil {
			s.Fatal(err)
		}
		d := digest.FromBytes(data)
		if err := u.Commit(s.Context(), d); err != nil {
			s.Fatal(err)
		}
		s.gc()
		return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: d, Size: int64(len(data))}
	}
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: blob([]byte(`{"architecture":"amd64","os":"linux"}`)), Layers: []ocispec.Descriptor{blob(layer)}}
	m.SchemaVersion, m.Config.MediaType = 2, ocispec.MediaTypeImageConfig
	data, err := json.Marshal(m)
	if err != nil {
		s.Fatal(err)
	}
	put := pushed.Manifest{Content: data, Tags: []string{"1"}, Descriptor: ocispec.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}}
	result, err := g.PutManifest(s.Context(), "app", put)
	if err != nil {
		s.Fatal(err)
	}
	return result.Roots[0].CID
}

// An image is pushed into Kubo as into the embedded store: the same root, through
// Kubo's garbage collection at any time and another process, until it is removed.
func TestPushIntoKubo(t *testing.T) {
	s := newSite(t)
	own, err := packstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	var roots []cid.Cid
	layer := bytes.Repeat([]byte("layer of some blocks "), 200_000)
	for _, store := range []ipfs.Recorder{own, s.r} {
		roots = append(roots, s.push(pushed.New(store, pushed.Options{}), layer))
	}
	if roots[0] != roots[1] {
		t.Errorf("%s in the embedded store, %s in Kubo", roots[0], roots[1])
	}
	s.gc()
	again := pushed.New(s.d.store(t).Recorder(s.r.records), pushed.Options{})
	l, err := ipfs.OpenLayout(t.Context(), s.r, roots[1])
	if err != nil {
		t.Fatal(err)
	}
	file, err := l.Locate(t.Context(), digest.FromBytes(layer))
	if err != nil || !s.has(file) {
		t.Errorf("the layer is %s, %v", file, err)
	}
	if tags, err := again.Repository("app").Tags(t.Context(), "app"); err != nil || len(tags) != 1 {
		t.Errorf("tags %v, %v", tags, err)
	}
	if kept, err := s.r.Roots(t.Context()); err != nil || len(kept) != 1 || !kept[0].Pushed || kept[0].Names[0] != "app:1" {
		t.Errorf("published %+v, %v, want one that came of a push", kept, err)
	}
	if err := again.Remove(t.Context(), roots[1]); err != nil {
		t.Fatal(err)
	}
	s.gc()
	if s.has(file) {
		t.Error("the layer is there after rm and gc")
	}
}

// Records in Kubo keep what all records promise.
func TestRecorder(t *testing.T) {
	s := newSite(t)
	storetest.RunRecords(t, func(t *testing.T) ipfs.Recorder {
		records, err := packstore.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = records.Close() })
		return s.d.store(t).Recorder(records)
	})
}

// In Kubo, too, the history of a tag takes away what fell out of it, and what somebody
// has published, before or after the push, or pinned under a name of his own, stays.
func TestHistoryInKubo(t *testing.T) {
	s := newSite(t)
	g := pushed.New(s.r, pushed.Options{History: 1})
	publish := func(c cid.Cid) {
		t.Helper()
		tx, err := s.r.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		data, err := s.r.Get(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Put(t.Context(), c, data); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Commit(t.Context(), ipfs.Root{CID: c, Names: []string{"app:1"}}); err != nil {
			t.Fatal(err)
		}
	}
	var roots []cid.Cid
	for i, text := range []string{"pushed alone", "published", "pinned", "last but one", "last"} {
		roots = append(roots, s.push(g, []byte(text)))
		switch i {
		case 1:
			publish(roots[i])
		case 2:
			s.d.ipfs(t, "pin", "add", "--name", "mine", roots[i].String())
		}
	}
	if _, err := g.Retire(t.Context(), roots[:3]...); err != nil {
		t.Fatal(err)
	}
	s.gc()
	for i, c := range roots {
		if _, err := ipfs.OpenLayout(t.Context(), s.r, c); (err == nil) != (i > 0) {
			t.Errorf("root %d: %v", i, err)
		}
	}
}
