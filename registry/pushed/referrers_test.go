package pushed_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// What refers to an image is found part by part, each of which says how much it is before
// it is read; all parts together are what Referrers lists.
func TestReferrersPage(t *testing.T) {
	b := newBench(t)
	image := b.image("app", "layer")
	b.put("app", "1", image)
	var want []string
	for i := range 3 {
		s := b.signature("app", fmt.Sprint(i), image)
		var m ocispec.Manifest
		if err := json.Unmarshal(s.Content, &m); err != nil {
			t.Fatal(err)
		}
		m.Annotations = map[string]string{"k": strings.Repeat("x", 3<<19)}
		s = manifest(t, m.MediaType, m)
		b.put("app", "", s)
		want = append(want, s.Descriptor.Digest.String())
	}
	slices.Sort(want)
	repository := b.Repository("app")
	var got []string
	pages := 0
	for last := ""; pages < 4; pages++ {
		page, err := repository.ReferrersPage(t.Context(), image.Descriptor.Digest, last)
		if err != nil || page.Bytes > oci.MaxManifestSize {
			t.Fatalf("page of %d bytes, %v", page.Bytes, err)
		}
		found, err := page.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range found {
			got = append(got, d.Digest.String())
		}
		if last = page.More.String(); last == "" {
			break
		}
	}
	if !slices.Equal(got, want) || pages != 1 {
		t.Errorf("%v after %d pages, want %v", got, pages+1, want)
	}
	all, err := repository.Referrers(t.Context(), image.Descriptor.Digest)
	if err != nil || len(all) != 3 {
		t.Errorf("%d in all, %v", len(all), err)
	}
}

// room counts what is held, and refuses.
type room struct {
	held, takes int
	refuse      error
}

func (r *room) take(int64) (func(), error) {
	if r.refuse != nil {
		return nil, r.refuse
	}
	r.held, r.takes = r.held+1, r.takes+1
	return func() { r.held-- }, nil
}

func (r *room) Reading(_ context.Context, n int64) (func(), error)  { return r.take(n) }
func (r *room) Decoding(_ context.Context, n int64) (func(), error) { return r.take(n) }

// Neither a manifest that is pushed nor what it leads to is decoded without room for it,
// and nothing stays held; one that is heavier than any is refused by that.
func TestPushWithinRoom(t *testing.T) {
	b := newBench(t)
	image := b.image("app", "layer")
	b.put("app", "", image)
	m := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{image.Descriptor}}
	m.SchemaVersion = 2
	index := manifest(t, m.MediaType, m)
	index.Tags = []string{"1"}
	r := &room{}
	if _, err := b.PutManifest(ipfs.WithRoom(t.Context(), r), "app", index); err != nil {
		t.Fatal(err)
	}
	if r.held != 0 || r.takes < 3 { // the index; the image is read, and decoded
		t.Errorf("%d taken, %d stay held", r.takes, r.held)
	}
	r.refuse = errors.New("no room")
	if _, err := b.PutManifest(ipfs.WithRoom(t.Context(), r), "app", index); !errors.Is(err, r.refuse) {
		t.Errorf("pushed without room: %v", err)
	}
	heavy := []byte(`{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageManifest + `","layers":[` + strings.Repeat("{},", 1300000) + `{}]}`)
	if _, err := b.PutManifest(t.Context(), "app", pushed.Manifest{Descriptor: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(heavy), Size: int64(len(heavy))}, Content: heavy}); !errors.Is(err, oci.ErrManifestInvalid) || !strings.Contains(err.Error(), "when it is decoded") {
		t.Errorf("a heavy manifest: %v", err)
	}
}
