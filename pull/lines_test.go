package pull_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/containerd/platforms"
	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/pull"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// Whatever names the images of a layout have, each printed line leaves its own image
// under that name in a directory and in a docker archive, and under no other.
func TestLinesInTargets(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 7))
		blocks := testlayout.NewBlocks()
		root := namedAtRandom(t, r, blocks)
		l, err := layout.Open(t.Context(), blocks, root)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := l.Lines(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			checkTargets(t, l, line, fmt.Sprintf("seed %d, line %s", seed, line.Pull))
		}
	}
}

// namedAtRandom publishes a few images under names that they share, have twice, or do not
// have.
func namedAtRandom(t *testing.T, r *rand.Rand, blocks *testlayout.Blocks) cid.Cid {
	l := testlayout.New(t, blocks)
	var images, top []ocispec.Descriptor
	for i := range 1 + r.IntN(3) {
		images = append(images, l.Image("amd64", []byte(fmt.Sprint("layer ", i))))
	}
	names := []string{"app:1", "app:2", "x.example.com/app:1", "team/tool:v1", "library/app:1", "db:1", "y.example.com/db:1"}
	for range 1 + r.IntN(5) {
		desc := images[r.IntN(len(images))]
		switch name := names[r.IntN(len(names))]; r.IntN(6) {
		case 0: // no name
		case 1: // a tag alone
			desc.Annotations = map[string]string{ocispec.AnnotationRefName: "v1"}
		case 2: // a digest in place of the tag
			desc = oci.Named(desc, "app@"+desc.Digest.String())
		case 3: // two names in one entry
			desc.Annotations = map[string]string{oci.AnnotationImageName: "x.example.com/edge:2", ocispec.AnnotationRefName: name}
		default:
			desc = oci.Named(desc, name)
		}
		top = append(top, desc)
	}
	return l.Publish(top...)
}

func checkTargets(t *testing.T, l *layout.Layout, line layout.Line, what string) {
	t.Helper()
	image, err := pull.Select(t.Context(), l, line.Pull, nil)
	if err != nil || image.Target.Digest != line.Image.Descriptor.Digest {
		t.Fatalf("%s: %v, %v; want %s", what, image, err, line.Image.Descriptor.Digest)
	}
	dir := t.TempDir()
	if err := image.ToDirectory(t.Context(), dir, pull.Progress{}); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	var others, own []string
	for _, desc := range readIndex(t, dir).Manifests {
		for _, n := range oci.ImageNames(desc) {
			if desc.Digest != line.Image.Descriptor.Digest {
				others = append(others, n.String())
			} else if n.Tag != "" {
				own = append(own, n.String())
			}
		}
	}
	if line.Pull.Plain() {
		return // all of the layout, as it is
	}
	asked := oci.ImageName{Repository: line.Pull.Repository, Tag: line.Pull.Tag}.String()
	if line.Name == ":"+line.Pull.Tag && len(own) == 1 && own[0] == line.Name {
		return // its only name has no repository, and stays
	}
	if len(others) > 0 || line.Pull.Tag != "" && (len(own) != 1 || own[0] != asked) {
		t.Errorf("%s: the directory has %q of it, and %q of others", what, own, others)
	}
	if !oci.IsManifest(image.Target.MediaType) { // of which a docker archive takes one platform
		if image, err = pull.Select(t.Context(), l, line.Pull, platforms.Only(platforms.MustParse("linux/amd64"))); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	var out bytes.Buffer
	if err := image.ToTar(t.Context(), &out, pull.Progress{}); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	tags := repoTags(t, &out)
	if line.Pull.Tag != "" && !slices.Equal(tags, []string{asked}) || line.Pull.Digest != "" && slices.ContainsFunc(tags, func(s string) bool { _, tag, _ := ref.CutTag(s); return tag == "" }) {
		t.Errorf("%s: the docker archive has %q", what, tags)
	}
}

// repoTags are those of all images of a docker archive.
func repoTags(t *testing.T, in io.Reader) (tags []string) {
	t.Helper()
	for entries := tar.NewReader(in); ; {
		h, err := entries.Next()
		if err == io.EOF {
			t.Fatal("no manifest.json")
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Name != "manifest.json" {
			continue
		}
		var saved []struct{ RepoTags []string }
		if err := json.NewDecoder(entries).Decode(&saved); err != nil {
			t.Fatal(err)
		}
		for _, s := range saved {
			tags = append(tags, s.RepoTags...)
		}
		return tags
	}
}

// A root of several images is a docker archive of all of them: a name that two have is
// the first's, and names without a tag are none to docker load.
func TestSeveralInOneArchive(t *testing.T) {
	b := testlayout.NewBlocks()
	l := testlayout.New(t, b)
	one, two, three := l.Image("amd64", []byte("one")), l.Image("amd64", []byte("two")), l.Image("amd64", []byte("three"))
	root := l.Publish(oci.Named(one, "app:1"), oci.Named(two, "other.example.com/app:1"), oci.Named(three, "app@"+three.Digest.String()))
	image, err := selected(t, b, root, "", "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := image.ToTar(t.Context(), &out, pull.Progress{}); err != nil {
		t.Fatal(err)
	}
	if tags := repoTags(t, &out); !slices.Equal(tags, []string{"app:1"}) {
		t.Errorf("tags %q, want app:1 once", tags)
	}
}

// What is broken at the moment elsewhere in the layout matters to nobody else.
func TestOneBesideUnavailable(t *testing.T) {
	b := testlayout.NewBlocks()
	l := testlayout.New(t, b)
	good, away := l.Image("amd64", []byte("good")), l.Image("amd64", []byte("away"))
	root := l.Publish(oci.Named(good, "good:1"), oci.Named(away, "x:1"))
	opened, err := layout.Open(t.Context(), unavailable{b, away.Digest.Encoded()}, root)
	if err != nil {
		t.Fatal(err)
	}
	name, err := ref.ParseName(ref.Ciq(root) + "/good:1")
	if err != nil {
		t.Fatal(err)
	}
	image, err := pull.Select(t.Context(), opened, name, nil)
	if err != nil || image.Target.Digest != good.Digest {
		t.Errorf("%v, %v; want the image that is there", image, err)
	}
}

// unavailable has all blocks but those of one blob at hand.
type unavailable struct {
	*testlayout.Blocks
	hex string
}

func (u unavailable) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	data, err := u.Blocks.Get(ctx, c)
	if err == nil && c.Type() == cid.Raw && digest.FromBytes(data).Encoded() == u.hex {
		return nil, fmt.Errorf("%w: 504", ipfs.ErrUnavailable)
	}
	return data, err
}
