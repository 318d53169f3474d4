package pushed_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// stays tells for how long a blob does: for "good", "a day" or, with what it is then,
// something else.
func (b *bench) stays(repository, text string) string {
	b.Helper()
	r, err := b.store.Record(b.Context(), ipfs.Key{Kind: "blob", Space: repository, Name: digest.FromString(text).String()})
	switch left := time.Until(r.Until); {
	case errors.Is(err, oci.ErrNotFound):
		return "no time"
	case err != nil:
		b.Fatal(err)
	case r.Until.IsZero():
		return "good"
	case left > pushed.Alone-time.Minute && left <= pushed.Alone:
		return "a day"
	default:
		return left.String()
	}
	return ""
}

// late is a store on which something happens just before a commit.
type late struct {
	*packstore.Store
	before func()
}

func (l *late) BeginRecords(ctx context.Context) (ipfs.RecordTx, error) {
	tx, err := l.Store.BeginRecords(ctx)
	return &lateTx{tx, l}, err
}

type lateTx struct {
	ipfs.RecordTx
	of *late
}

func (t *lateTx) CommitRecords(ctx context.Context, roots []ipfs.Root, records ...ipfs.Record) (ipfs.Stats, error) {
	t.of.before()
	return t.RecordTx.CommitRecords(ctx, roots, records...)
}

func (t *lateTx) CommitRevised(ctx context.Context, revise func(is, was ipfs.Record) ipfs.Record, roots []ipfs.Root, records ...ipfs.Record) (ipfs.Stats, error) {
	t.of.before()
	return t.RecordTx.CommitRevised(ctx, revise, roots, records...)
}

// upload pushes a blob by another registry in the same store.
func upload(t *testing.T, g *pushed.Registry, repository, text string) {
	t.Helper()
	u := g.Begin(t.Context(), repository, digest.SHA256)
	_, err := u.Write([]byte(text))
	if err == nil {
		err = u.Commit(t.Context(), digest.FromString(text))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Two who push the same layer at once must not have it end a day later below the manifest
// that one of them has pushed meanwhile, or the image breaks then.
func TestUploadBesideManifest(t *testing.T) {
	for name, arrive := range map[string]func(b *bench, g *pushed.Registry){
		"uploaded": func(b *bench, g *pushed.Registry) { upload(b.T, g, "app", "layer") },
		"mounted": func(b *bench, g *pushed.Registry) {
			if err := g.Mount(b.Context(), "base", "app", digest.FromString("layer")); err != nil {
				b.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.blob("base", "layer")
			m := b.image("app", "layer")
			arrive(b, pushed.New(&late{b.store, func() { b.put("app", "1", m) }}, pushed.Options{}))
			if got := b.stays("app", "layer"); got != "good" {
				t.Errorf("a layer of app:1 stays for %s", got)
			}
		})
	}
}

// goings are ways in which app:1 goes.
var goings = map[string]struct {
	others string // for how long what nobody else has uploaded stays
	remove func(b *bench, m pushed.Manifest) error
}{
	"rm": {"no time", func(b *bench, m pushed.Manifest) error {
		return b.Remove(b.Context(), b.root("app", "1"))
	}},
	"DELETE": {"a day", func(b *bench, m pushed.Manifest) error {
		_, err := b.DeleteManifest(b.Context(), "app", m.Descriptor.Digest)
		return err
	}},
	"the history": {"a day", func(b *bench, m pushed.Manifest) error {
		root := b.root("app", "1")
		b.put("app", "1", b.image("app", "another"))
		gone, err := pushed.New(b.store, pushed.Options{}).Retire(b.Context(), root)
		if len(gone) > 0 {
			b.Error("what is in the history went")
		}
		b.Registry = pushed.New(b.store, pushed.Options{History: -1})
		b.put("app", "1", b.image("app", "one more"))
		if err == nil {
			gone, err = b.Retire(b.Context(), root)
		}
		if len(gone) != 1 {
			b.Errorf("gone are %v", gone)
		}
		return err
	}},
	"the collector": {"no time", func(b *bench, m pushed.Manifest) error {
		root := b.root("app", "1")
		b.put("app", "1", b.image("app", "another"))
		_, err := b.Discard(b.Context(), root)
		return err
	}},
}

// Who was told that a blob is here has a day to push the manifest, whatever else goes
// meanwhile; what nobody was promised makes room at once where somebody removes it.
func TestPromised(t *testing.T) {
	for name, test := range goings {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			again := func() { upload(t, pushed.New(b.store, pushed.Options{}), "app", "in between") }
			first := b.image("app", "once", "again", "in between")
			first.Tags = []string{"1"}
			if _, err := pushed.New(&late{b.store, again}, pushed.Options{}).PutManifest(t.Context(), "app", first); err != nil {
				t.Fatal(err)
			}
			b.blob("app", "again")
			if err := test.remove(b, first); err != nil {
				t.Fatal(err)
			}
			for text, want := range map[string]string{"once": test.others, "again": "a day", "in between": "a day"} {
				if got := b.stays("app", text); got != want {
					t.Errorf("what came %s stays for %s, want %s", text, got, want)
				}
			}
			b.gc()
			if _, err := b.PutManifest(t.Context(), "app", b.bare("again", "in between")); err != nil {
				t.Errorf("the manifest of who uploaded them: %v", err)
			}
			if got := b.stays("app", "again"); got != "good" {
				t.Errorf("then a layer stays for %s", got)
			}
		})
	}
}

// bare makes the manifest of an image in app whose layers are there, as far as they are.
func (b *bench) bare(layers ...string) pushed.Manifest {
	b.Helper()
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: b.blob("app", config)}
	m.SchemaVersion, m.Config.MediaType = 2, ocispec.MediaTypeImageConfig
	for _, text := range layers {
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString(text), Size: int64(len(text))})
	}
	return manifest(b.T, m.MediaType, m)
}

// root is that of a tag.
func (b *bench) root(repository, tag string) cid.Cid {
	b.Helper()
	name, err := b.Root(b.Context(), repository, tag)
	if err != nil {
		b.Fatal(err)
	}
	return name.Root
}

// An upload outlives an image that was published under a name of its repository.
func TestRemoveLeavesUploads(t *testing.T) {
	b := newBench(t)
	root, _ := b.published(map[string]string{"app:1": "layer"})
	b.blob("app", "layer")
	if err := b.Remove(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	if got := b.stays("app", "layer"); got != "a day" {
		t.Errorf("the upload stays for %s", got)
	}
}

// What was refused leaves nothing, under no digest that it has, and what was there before
// stays as it was.
func TestRefusedUpload(t *testing.T) {
	b := newBench(t)
	wrong := digest.SHA512.FromString("something else")
	send := func(text string) error {
		u := b.Begin(t.Context(), "app", digest.SHA256)
		if _, err := u.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		return u.Commit(t.Context(), wrong)
	}
	b.image("app", "there") // ends in a day
	for text, want := range map[string]string{"refused": "no time", "there": "a day"} {
		if err := send(text); !errors.Is(err, pushed.ErrDigest) {
			t.Errorf("%s: %v, want ErrDigest", text, err)
		}
		if got := b.stays("app", text); got != want {
			t.Errorf("%s stays for %s, want %s", text, got, want)
		}
	}
	if spaces, err := b.store.Spaces(t.Context(), "arrived"); err != nil || len(spaces) > 0 {
		t.Errorf("records of what arrived in %q, %v", spaces, err)
	}
	wrong = digest.SHA512.FromString("right")
	if err := send("right"); err != nil {
		t.Error(err)
	}
	if _, err := b.Repository("app").Blob(t.Context(), wrong); err != nil {
		t.Error(err)
	}
}
