// Package registrytest is the suite of questions that whoever answers what a name
// means must answer alike: each [registry.Reader], and the server, the resolver
// and the pulls that stand on one.
package registrytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// Answer tells which manifest a name means, whose layout is in blocks. Errors
// match those of package oci.
type Answer func(t *testing.T, blocks *testlayout.Blocks, name ref.Name) (digest.Digest, error)

// ask is one question about a layout, and the right answer.
type ask struct {
	rest string        // of the name, behind the root
	want digest.Digest // empty for an error
	err  error
	says []string // what the error names
}

// scene is a layout and what is asked of it.
type scene struct {
	name string
	make func(l *testlayout.Layout) (top []ocispec.Descriptor, asked []ask)
}

// Write writes the layouts that Questions asks about to directories of their own
// below dir, whose paths it gives by what is special about each.
func Write(t testing.TB, dir string) map[string]string {
	t.Helper()
	written := map[string]string{}
	for _, s := range scenes() {
		l := testlayout.New(t, testlayout.NewBlocks())
		top, _ := s.make(l)
		written[s.name] = filepath.Join(dir, strings.ReplaceAll(s.name, " ", "-"))
		l.Write(written[s.name], top...)
	}
	return written
}

// Questions asks everything.
func Questions(t *testing.T, answer Answer) {
	for _, s := range scenes() {
		t.Run(s.name, func(t *testing.T) {
			blocks := testlayout.NewBlocks()
			l := testlayout.New(t, blocks)
			top, asked := s.make(l)
			root := l.Publish(top...)
			for _, q := range asked {
				t.Run(strings.Trim("name "+q.rest, "/"), func(t *testing.T) { q.ask(t, answer, blocks, root) })
			}
		})
	}
}

// Scene is a layout of Questions, for whoever is asked for more than a digest.
type Scene struct {
	Name   string // what is special about it
	Blocks *testlayout.Blocks
	Root   cid.Cid
	Names  []Meaning
}

// Meaning is a name, and the error that says that it means nothing; nil when it means
// something.
type Meaning struct {
	Name ref.Name
	Err  error
	Says []string // what the error names
}

// Scenes gives the layouts of Questions, with the names that are asked about.
func Scenes(t testing.TB) (all []Scene) {
	t.Helper()
	for _, s := range scenes() {
		out := Scene{Name: s.name, Blocks: testlayout.NewBlocks()}
		l := testlayout.New(t, out.Blocks)
		top, asked := s.make(l)
		out.Root = l.Publish(top...)
		for _, q := range asked {
			name, err := ref.ParseName(ref.Ciq(out.Root) + q.rest)
			if err != nil {
				t.Fatal(err)
			}
			out.Names = append(out.Names, Meaning{name, q.err, q.says})
		}
		all = append(all, out)
	}
	return all
}

func (q ask) ask(t *testing.T, answer Answer, blocks *testlayout.Blocks, root cid.Cid) {
	name, err := ref.ParseName(ref.Ciq(root) + q.rest)
	if err != nil {
		t.Fatal(err)
	}
	got, err := answer(t, blocks, name)
	switch {
	case q.err == nil && err != nil:
		t.Fatalf("%v, want %s", err, q.want)
	case q.err == nil && got != q.want:
		t.Fatalf("%s, want %s", got, q.want)
	case q.err != nil && !errors.Is(err, q.err):
		t.Fatalf("%s (%v), want an error like %q", got, err, q.err)
	}
	for _, text := range q.says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q does not say %q", err, text)
		}
	}
}

// Open opens what is under a root whose blocks are given.
type Open func(t *testing.T, blocks *testlayout.Blocks, root cid.Cid) Reader

// OpenReader opens it as a reader that lists nothing.
type OpenReader func(t *testing.T, blocks *testlayout.Blocks, root cid.Cid) registry.Reader

func reading(open Open) OpenReader {
	return func(t *testing.T, blocks *testlayout.Blocks, root cid.Cid) registry.Reader {
		return open(t, blocks, root)
	}
}

// Reader is what the suite asks of a [registry.Reader].
type Reader interface {
	registry.Reader
	registry.Lister
}

// Run asks a reader all questions, and what only a reader is asked: contents,
// referrers, images, tags, and each error by name.
func Run(t *testing.T, open Open) {
	t.Run("names", func(t *testing.T) { names(t, open) })
	t.Run("contents", func(t *testing.T) { Contents(t, reading(open)) })
	t.Run("lies", func(t *testing.T) { lies(t, open) })
	t.Run("limits", func(t *testing.T) { limits(t, open) })
	t.Run("referrers", func(t *testing.T) { tooMany(t, open) })
	t.Run("images", func(t *testing.T) { images(t, open) })
}

// RunReader is Run for a reader that lists nothing, such as a registry elsewhere: it has
// itself found out what is not what its digest says, and answers that it has failed.
func RunReader(t *testing.T, open OpenReader) {
	as := func(t *testing.T, blocks *testlayout.Blocks, root cid.Cid) Reader {
		return struct {
			registry.Reader
			registry.Lister
		}{Reader: open(t, blocks, root)}
	}
	t.Run("names", func(t *testing.T) { names(t, as) })
	t.Run("contents", func(t *testing.T) { Contents(t, open) })
	t.Run("limits", func(t *testing.T) { limits(t, as) })
}

// RunOver is Run for layouts whose blocks come from elsewhere: over gives what
// serves those of a memory.
func RunOver(t *testing.T, over func(t *testing.T, blocks *testlayout.Blocks, root cid.Cid) ipfs.Getter) {
	Run(t, func(t *testing.T, blocks *testlayout.Blocks, root cid.Cid) Reader {
		l, err := layout.Open(t.Context(), ipfs.Verified(over(t, blocks, root)), root)
		if err != nil {
			t.Fatal(err)
		}
		return l
	})
}

// RunOverStore is RunOver for a store, into which the blocks are put.
func RunOverStore(t *testing.T, open func(t *testing.T) ipfs.Store) {
	store := open(t)
	RunOver(t, func(t *testing.T, blocks *testlayout.Blocks, root cid.Cid) ipfs.Getter {
		tx, err := store.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Abort()
		if err := blocks.PutInto(t.Context(), tx); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Commit(t.Context(), ipfs.Root{CID: root}); err != nil {
			t.Fatal(err)
		}
		return store
	})
}

// Known asks a reader of one image, which cannot be made for the other questions,
// for what is in it: name is that of the image, and content one of its blobs.
func Known(t *testing.T, r Reader, name ref.Name, image ocispec.Descriptor, content []byte) {
	t.Helper()
	ctx := t.Context()
	if desc, err := r.Resolve(ctx, ref.Name{Repository: "any", Tag: "thing"}); err != nil || desc.Digest != image.Digest {
		t.Errorf("by another name it is %+v (%v), want %+v", desc, err, image)
	}
	KnownReader(t, r, name, image, content)
	if all, err := r.Images(ctx); err != nil || len(all) != 1 || all[0].Descriptor.Digest != image.Digest {
		t.Errorf("images %+v, %v", all, err)
	}
	if tags, err := r.Tags(ctx, name.Repository); err != nil || len(tags) != 1 || tags[0] != name.Tag {
		t.Errorf("tags %q, %v", tags, err)
	}
}

// KnownReader is Known for a reader that lists nothing and has the image by its own name
// alone.
func KnownReader(t *testing.T, r registry.Reader, name ref.Name, image ocispec.Descriptor, content []byte) {
	t.Helper()
	ctx := t.Context()
	for _, n := range []ref.Name{name, {}, {Repository: name.Repository, Digest: image.Digest}} {
		if desc, err := r.Resolve(ctx, n); err != nil || desc.Digest != image.Digest || desc.MediaType != image.MediaType || desc.Size != image.Size {
			t.Errorf("%+v is %+v (%v), want %+v", n, desc, err, image)
		}
	}
	for _, n := range []ref.Name{{Tag: "sha256-" + image.Digest.Encoded()}, {Digest: digest.FromString("absent")}} {
		if desc, err := r.Resolve(ctx, n); !errors.Is(err, oci.ErrManifestUnknown) {
			t.Errorf("%+v is %+v (%v)", n, desc, err)
		}
	}
	if m, err := r.Manifest(ctx, image.Digest); err != nil || digest.FromBytes(m.Content) != image.Digest {
		t.Errorf("manifest %q: %v", m.Content, err)
	}
	b, err := r.Blob(ctx, digest.FromBytes(content))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(b); err != nil || got != string(content) {
		t.Errorf("a blob of %d bytes, want %d: %v", len(got), len(content), err)
	}
	if _, err := r.Blob(ctx, digest.FromString("absent")); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("a blob that is not there: %v", err)
	}
	if found, err := r.Referrers(ctx, image.Digest); err != nil || len(found) != 0 {
		t.Errorf("referrers %+v, %v", found, err)
	}
}

func names(t *testing.T, open Open) {
	Questions(t, func(t *testing.T, blocks *testlayout.Blocks, name ref.Name) (digest.Digest, error) {
		desc, err := open(t, blocks, name.Root).Resolve(t.Context(), name)
		return desc.Digest, err
	})
}

// Contents asks for manifests and blobs by digest and for what refers to a manifest: of
// readers of one repository, too, that know nothing of a root.
func Contents(t *testing.T, open OpenReader) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	image := l.Image("amd64", []byte("one"))
	sbom := referrer(l, image)
	r := open(t, blocks, l.Publish(oci.Named(image, "app:1"), sbom))
	ctx := t.Context()
	m, err := r.Manifest(ctx, image.Digest)
	if err != nil || digest.FromBytes(m.Content) != image.Digest || m.Descriptor.MediaType != image.MediaType || m.Descriptor.Size != image.Size {
		t.Errorf("manifest %+v: %v", m.Descriptor, err)
	}
	if _, err := r.Manifest(ctx, "sha256:nonsense"); !errors.Is(err, oci.ErrManifestUnknown) {
		t.Errorf("a digest that is none: %v", err)
	}
	layer := digest.FromBytes([]byte("one"))
	b, err := r.Blob(ctx, layer)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(b); err != nil || got != "one" || b.Size() != 3 {
		t.Errorf("blob %q of %d bytes: %v", got, b.Size(), err)
	}
	if _, err := r.Blob(ctx, digest.FromString("absent")); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("a blob that is not there: %v", err)
	}
	for wanted, n := range map[string]int{"": 1, "application/vnd.example.sbom": 1, "application/other": 0} {
		var types []string
		if wanted != "" {
			types = []string{"application/vnd.example.another", wanted}
		}
		found, err := r.Referrers(ctx, image.Digest, types...)
		if err != nil || len(found) != n || n == 1 && found[0].Digest != sbom.Digest {
			t.Errorf("referrers of type %q: %+v, %v", wanted, found, err)
		}
	}
}

// lies: a manifest whose bytes are not what its digest says.
func lies(t *testing.T, open Open) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	lie := l.Blob(ocispec.MediaTypeImageManifest, []byte(`{"schemaVersion":2,"config":{},"layers":[]}`))
	l.Lie(lie.Digest, []byte(`{"schemaVersion":2,"config":{},"layers":[1]}`))
	r := open(t, blocks, l.Publish(oci.Named(l.Image("amd64", []byte("one")), "app:1")))
	if _, err := r.Manifest(t.Context(), lie.Digest); !errors.Is(err, oci.ErrCorrupt) {
		t.Errorf("a manifest with other bytes: %v", err)
	}
}

// limits: what is too deep, too many or too large is told by the limit's name,
// and by nothing else that is asked.
func limits(t *testing.T, open Open) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	top := nest(l, l.Image("amd64", []byte("deep")), oci.MaxDepth+1)
	large := l.Blob("", append([]byte(`{"manifests":[]`), make([]byte, oci.MaxManifestSize)...))
	r := open(t, blocks, l.Publish(oci.Named(top, "app:1")))
	desc, err := r.Resolve(t.Context(), ref.Name{Repository: "app", Tag: "1"})
	if err != nil || desc.Digest != top.Digest {
		t.Errorf("the tag of an image nested too deep: %s, %v", desc.Digest, err)
	}
	if _, err := r.Manifest(t.Context(), large.Digest); !errors.Is(err, oci.ErrManifestUnknown) {
		t.Errorf("a manifest of more than %d bytes: %v", oci.MaxManifestSize, err)
	}
	if w, ok := r.(whole); ok {
		if _, err := w.Reachable(t.Context(), desc); !errors.Is(err, oci.ErrLimit) || !strings.Contains(err.Error(), fmt.Sprint(oci.MaxDepth)) {
			t.Errorf("the whole of it: %v", err)
		}
	}
}

// tooMany: a list of referrers that is too large to be made. A registry elsewhere can say
// only that it has failed.
func tooMany(t *testing.T, open Open) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	top := l.Image("amd64", []byte("one"))
	all := []ocispec.Descriptor{oci.Named(top, "app:1")}
	for i := range 5 { // referrers whose annotations are too much together
		all = append(all, l.JSON(ocispec.MediaTypeImageManifest, ocispec.Manifest{
			MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.example.sbom", Config: top, Subject: &top,
			Annotations: map[string]string{fmt.Sprint("org.example.", i): strings.Repeat("x", 3<<20)},
		}))
	}
	r := open(t, blocks, l.Publish(all...))
	if found, err := r.Referrers(t.Context(), top.Digest); !errors.Is(err, oci.ErrLimit) {
		t.Errorf("%d referrers of more than can be listed: %v", len(found), err)
	}
}

// whole is a reader that can tell all that an image needs.
type whole interface {
	Reachable(ctx context.Context, top ...ocispec.Descriptor) (*oci.Reachable, error)
}

func images(t *testing.T, open Open) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	amd, arm := l.Image("amd64", []byte("one")), l.Image("arm64", []byte("two"))
	index := l.Index(amd, arm)
	top := []ocispec.Descriptor{
		arm, oci.Named(index, "app:1"), oci.Named(index, "app:2"), oci.Named(amd, "amd:1"), referrer(l, index), l.Blob("application/xml", []byte("<x/>")),
	}
	r := open(t, blocks, l.Publish(top...))
	all, err := r.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, image := range all {
		got = append(got, fmt.Sprint(image.Descriptor.Digest, image.Names))
	}
	want := fmt.Sprint([]string{fmt.Sprint(index.Digest, []string{"app:1", "app:2"}), fmt.Sprint(amd.Digest, []string{"amd:1"})})
	if fmt.Sprint(got) != want {
		t.Errorf("images %v, want %v", got, want)
	}
	tags, err := r.Tags(t.Context(), "app")
	if asJSON, _ := json.Marshal(tags); err != nil || string(asJSON) != `["1","2"]` {
		t.Errorf("tags %s, %v", asJSON, err)
	}
	if tags, err := r.Tags(t.Context(), "nope"); !errors.Is(err, oci.ErrNameUnknown) {
		t.Errorf("tags of a repository that is not there: %v, %v", tags, err)
	}
}

func readAll(b registry.Blob) (string, error) {
	defer b.Close()
	data := make([]byte, b.Size())
	for n := 0; n < len(data); {
		m, err := b.Read(data[n:])
		if n += m; err != nil && n < len(data) {
			return "", err
		}
	}
	return string(data), nil
}
