package layout_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// all has every manifest, of one byte each.
type all struct{}

func (all) Small(context.Context, digest.Digest) ([]byte, error) { return []byte(" "), nil }

// The line is what people hand on: a tag that need not be there would be one more
// thing to get wrong.
func TestLines(t *testing.T) {
	other := digest.FromString("other").String()
	for _, test := range []struct {
		entries []string // name and image, "name=image"
		want    []string
	}{
		{[]string{"app:1=a"}, []string{"/app"}},
		{[]string{"app:1=a", "app:latest=a"}, []string{"/app:1", "/app:latest"}},
		{[]string{"app:1=a", "other:2=b"}, []string{"/app:1", "/other:2"}},
		{[]string{"=a"}, []string{""}},
		{[]string{":1=a"}, []string{""}},
		{[]string{":1=a", ":2=b"}, []string{"/image:1", "/image:2"}},
		{[]string{"=other", "app:1=a"}, []string{"/image@" + other, "/app:1"}},
		{[]string{"reg.example.com/app:1=a", "app:1=a"}, []string{"/app"}},
		{[]string{"a.example.com/team/app:1=a", "b.example.com/team/app:1=other"}, []string{"/team/app:1", "/team/app@" + other}},
		{[]string{"quay.io/pause:3.9=a", "quay.io/pause@" + other + "=a", "sha256:1f1f1f1f1f=a"}, []string{"/pause"}},
		{[]string{"quay.io/x@" + other + "=other"}, []string{"/x"}},
		{[]string{"quay.io/x@" + other + "=other", "app:1=a"}, []string{"/x@" + other, "/app:1"}},
		{[]string{":v1=a", ":v1=other"}, []string{"/image:v1", "/image@" + other}},
		{[]string{"app:1=a", ":1=other"}, []string{"/app:1", "/image:1"}},
		{[]string{"library/app:1=a", "app:1=other"}, []string{"/library/app:1", "/app@" + other}},
	} {
		var index ocispec.Index
		for _, e := range test.entries {
			name, content, _ := strings.Cut(e, "=")
			d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(content), Size: 1}
			switch {
			case strings.HasPrefix(name, "sha256:"):
				d.Annotations = map[string]string{oci.AnnotationImageName: name, ocispec.AnnotationRefName: name}
			case strings.HasPrefix(name, ":"):
				d.Annotations = map[string]string{ocispec.AnnotationRefName: name[1:]}
			case name != "":
				d = oci.Named(d, name)
			}
			index.Manifests = append(index.Manifests, d)
		}
		root, err := ref.ParseRoot("ciqddxseacsddleyizojmahrh2uaq7ujnplse6r6mylurgu4bfodrmi")
		if err != nil {
			t.Fatal(err)
		}
		lines, err := layout.NewNames(root, index, all{}).Lines(t.Context())
		if err != nil {
			t.Errorf("%q: %v", test.entries, err)
		}
		var got []string
		for _, l := range lines {
			got = append(got, strings.TrimPrefix(l.Pull.String(), ref.Ciq(root)))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, want %q", test.entries, got, test.want)
		}
	}
}

// Whatever is in a layout, each line is there once and pulls its own image, and
// no image is without a line.
func TestEachLinePullsItsOwn(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		blocks := testlayout.NewBlocks()
		root := randomLayout(t, r, blocks)
		l, err := layout.Open(t.Context(), blocks, root)
		if err != nil {
			t.Fatal(err)
		}
		checkLines(t, l, fmt.Sprintf("seed %d", seed))
	}
}

func checkLines(t *testing.T, l *layout.Layout, what string) {
	t.Helper()
	lines, err := l.Lines(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	images, err := l.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	told, pulled := map[string]bool{}, map[digest.Digest]bool{}
	for _, line := range lines {
		text := line.Pull.String()
		name, err := ref.ParseName(text)
		if err != nil {
			t.Fatalf("%s: line %q is no name: %v", what, text, err)
		}
		desc, err := l.Resolve(t.Context(), name)
		if err != nil || desc.Digest != line.Image.Descriptor.Digest {
			t.Errorf("%s: %q is %s (%v), want %s", what, text, desc.Digest, err, line.Image.Descriptor.Digest)
		}
		if told[text] {
			t.Errorf("%s: %q is there twice", what, text)
		}
		if repository, _, _ := strings.Cut(text, "@"); len("registry.example.com:5000/"+repository) > 255 {
			t.Errorf("%s: %q is longer than engines take", what, text)
		}
		told[text], pulled[desc.Digest] = true, true
	}
	for _, image := range images {
		if !pulled[image.Descriptor.Digest] {
			t.Errorf("%s: no line for %s", what, image.Descriptor.Digest)
		}
	}
}

// Below a name that moves each line is there once, too, and means its own image.
func TestEachMovingLinePullsItsOwn(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		blocks := testlayout.NewBlocks()
		l, err := layout.Open(t.Context(), blocks, randomLayout(t, r, blocks))
		if err != nil {
			t.Fatal(err)
		}
		lines, err := l.MovingLines(t.Context(), "k51moves")
		if err != nil {
			t.Fatal(err)
		}
		told := map[string]bool{}
		for _, name := range lines {
			if _, err := l.Resolve(t.Context(), name); err != nil || told[name.String()] {
				t.Errorf("seed %d: %s, there before: %v, %v", seed, name, told[name.String()], err)
			}
			told[name.String()] = true
			if tags, err := l.MovingTags(t.Context(), name.Repository); name.Tag != "" && (err != nil || !slices.Contains(tags, name.Tag)) {
				t.Errorf("seed %d: %s is not among the tags %q, %v", seed, name, tags, err)
			}
		}
	}
}

// Tags by which cosign finds signatures are those of every repository, and make none of
// a name that there is not.
func TestTagsBesideSignatures(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	kind := func(desc ocispec.Descriptor, kind string) ocispec.Descriptor {
		desc.Annotations = map[string]string{"kind": "dev.cosignproject.cosign/" + kind}
		return desc
	}
	image, other := l.Image("amd64", []byte("image")), l.Image("amd64", []byte("other"))
	top := []ocispec.Descriptor{kind(oci.Named(image, "app:1"), "image"), kind(l.Image("none", []byte("signature")), "sigs")}
	top[0].Annotations[ocispec.AnnotationRefName] = "app:1"
	signature := oci.ReferrerTagOf(image.Digest, oci.SuffixSignature)
	for name, test := range map[string]struct {
		top  []ocispec.Descriptor
		want []string
		err  error
	}{
		"one image":   {top, []string{"1", signature}, nil},
		"two of them": {append(slices.Clone(top), oci.Named(other, "db:1")), nil, oci.ErrNameUnknown},
	} {
		opened, err := layout.Open(t.Context(), blocks, l.Publish(test.top...))
		if err != nil {
			t.Fatal(err)
		}
		if tags, err := opened.Tags(t.Context(), "nope"); !slices.Equal(tags, test.want) || !errors.Is(err, test.err) {
			t.Errorf("%s: tags %q, %v; want %q, %v", name, tags, err, test.want, test.err)
		}
		if tags, err := opened.MovingTags(t.Context(), "nope"); !errors.Is(err, oci.ErrNameUnknown) {
			t.Errorf("%s, below a name that moves: tags %q, %v", name, tags, err)
		}
	}
}

// randomLayout makes entries of equal names over several hosts, digests as names,
// referrers, nested, equal and foreign entries, and names that differ by case.
func randomLayout(t *testing.T, r *rand.Rand, blocks *testlayout.Blocks) cid.Cid {
	l := testlayout.New(t, blocks)
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	var made, top []ocispec.Descriptor
	for i := range 1 + r.IntN(8) {
		desc := l.Image(pick("amd64", "arm64"), []byte(fmt.Sprint("layer", r.IntN(6))))
		switch r.IntN(6) {
		case 0:
			desc = l.Index(append(slices.Clone(made), desc)...)
		case 1:
			if len(made) > 0 {
				subject := made[r.IntN(len(made))]
				m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: l.Blob("application/json", []byte("{}")), Subject: &subject}
				m.Annotations = map[string]string{"n": fmt.Sprint(i)}
				desc = l.JSON(ocispec.MediaTypeImageManifest, m)
			}
		case 2:
			if r.IntN(3) == 0 {
				desc = l.Blob("application/xml", []byte("<x/>"))
			}
		}
		desc.Platform = nil
		made = append(made, desc)
		for range 1 + r.IntN(2) {
			top = append(top, randomName(desc, pick))
		}
	}
	top = append(top, oci.Named(l.Image("amd64", []byte("always")), "always:1"))
	r.Shuffle(len(top), func(i, j int) { top[i], top[j] = top[j], top[i] })
	return l.Publish(top...)
}

func randomName(desc ocispec.Descriptor, pick func(...string) string) ocispec.Descriptor {
	host, repository := pick("", "a.example/", "b.example:5000/", "docker.io/library/"), pick("app", "team/app", "library/app", "App", "image", "latest", strings.Repeat("long/", 45)+"x")
	tag := pick(":1", ":latest", ":V1", ":v1", ":sha256-"+strings.Repeat("0", 64), "", "@"+desc.Digest.String(), ":1@"+desc.Digest.String())
	desc.Annotations = map[string]string{}
	switch pick("full", "ref", "both", "tag", "none", "id") {
	case "full":
		desc.Annotations[oci.AnnotationImageName] = host + repository + tag
	case "ref":
		desc.Annotations[ocispec.AnnotationRefName] = host + repository + tag
	case "both":
		desc.Annotations[oci.AnnotationImageName] = host + repository + tag
		desc.Annotations[ocispec.AnnotationRefName] = pick("1", "latest", "V1")
	case "tag":
		desc.Annotations[ocispec.AnnotationRefName] = strings.TrimLeft(tag, ":@")
	case "id":
		desc.Annotations[oci.AnnotationImageName] = desc.Digest.String()
	}
	return desc
}
