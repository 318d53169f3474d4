package oci

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
)

// memory is a layout in memory.
type memory map[digest.Digest][]byte

func (m memory) Manifest(_ context.Context, desc ocispec.Descriptor) ([]byte, error) {
	data, ok := m[desc.Digest]
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, desc.Digest)
	}
	return data, nil
}

func (m memory) Size(_ context.Context, d digest.Digest) (int64, error) {
	data, ok := m[d]
	if !ok {
		return 0, fmt.Errorf("%w: %s", ErrNotFound, d)
	}
	return int64(len(data)), nil
}

func (m memory) add(mediaType string, data []byte) ocispec.Descriptor {
	d := digest.FromBytes(data)
	m[d] = data
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

func (m memory) json(mediaType string, v any) ocispec.Descriptor {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return m.add(mediaType, data)
}

// Each limit has an error that says what is too much.
func TestWalkLimits(t *testing.T) {
	m := memory{}
	image := m.json(ocispec.MediaTypeImageManifest, ocispec.Manifest{Config: m.add(ocispec.MediaTypeImageConfig, []byte("{}")), Layers: []ocispec.Descriptor{}})
	nested := func(levels int) ocispec.Descriptor {
		desc := image
		for range levels {
			desc = m.json(ocispec.MediaTypeImageIndex, NewIndex([]ocispec.Descriptor{desc}))
		}
		return desc
	}
	wide := func(n int) ocispec.Descriptor {
		var all []ocispec.Descriptor
		for range n {
			all = append(all, image)
		}
		return m.json(ocispec.MediaTypeImageIndex, NewIndex(all))
	}
	fat := m.json(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Config: m.add(ocispec.MediaTypeImageConfig, []byte("{}")), Layers: []ocispec.Descriptor{},
		Annotations: map[string]string{"x": strings.Repeat("x", MaxManifestSize-1000)},
	})
	hostile := fat
	for range MaxDepth {
		hostile = m.json(ocispec.MediaTypeImageIndex, NewIndex(slices.Repeat([]ocispec.Descriptor{hostile}, 60)))
	}
	fatter := m.json(ocispec.MediaTypeImageManifest, ocispec.Manifest{Annotations: map[string]string{"x": strings.Repeat("x", MaxManifestSize)}, Layers: []ocispec.Descriptor{}})
	for name, test := range map[string]struct {
		top  []ocispec.Descriptor
		says string // empty: it passes
	}{
		"as deep as allowed":     {[]ocispec.Descriptor{nested(MaxDepth)}, ""},
		"deeper":                 {[]ocispec.Descriptor{nested(MaxDepth + 1)}, "8 levels"},
		"as wide as allowed":     {[]ocispec.Descriptor{wide(MaxManifests - 1)}, ""},
		"wider":                  {[]ocispec.Descriptor{wide(MaxManifests)}, "10000 manifests"},
		"wide beside wide":       {[]ocispec.Descriptor{wide(6000), wide(6001)}, "10000 manifests"},
		"4 MiB":                  {[]ocispec.Descriptor{fat}, ""},
		"more than 4 MiB":        {[]ocispec.Descriptor{fatter}, "4194304"},
		"4 MiB, again and again": {slices.Repeat([]ocispec.Descriptor{fat}, 70), ""}, // it is read once
		"60 equal ones, 8 deep":  {[]ocispec.Descriptor{hostile}, ""},                // each is followed once
		"nothing":                {nil, "no image"},
	} {
		_, err := Walk(context.Background(), m, NewIndex(test.top))
		if test.says == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%s: %v; want an error that says %q", name, err, test.says)
		}
	}
}

// All that is read counts, whatever it is and whoever reads.
func TestWalkLimitRead(t *testing.T) {
	var limit WalkLimit
	for i := range MaxRead / MaxManifestSize {
		if err := limit.Read(ocispec.Descriptor{}, MaxManifestSize); err != nil {
			t.Fatalf("%d times 4 MiB: %v", i+1, err)
		}
	}
	if err := limit.Read(ocispec.Descriptor{}, 1); !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "268435456") {
		t.Errorf("more: %v", err)
	}
	if err := new(WalkLimit).Read(ocispec.Descriptor{}, MaxManifestSize+1); !errors.Is(err, ErrLimit) {
		t.Errorf("one of more than 4 MiB: %v", err)
	}
}

// counted counts what is read of one content.
type counted struct {
	memory
	what  digest.Digest
	reads int
}

func (c *counted) Manifest(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	if desc.Digest == c.what {
		c.reads++
	}
	return c.memory.Manifest(ctx, desc)
}

// A large config that thousands of manifests share must not be read thousands
// of times for its platform.
func TestWalkReadsAConfigOnce(t *testing.T) {
	m := memory{}
	config := m.add(ocispec.MediaTypeImageConfig, []byte(`{"os":"linux","architecture":"amd64"}`))
	image := m.json(ocispec.MediaTypeImageManifest, ocispec.Manifest{Config: config, Layers: []ocispec.Descriptor{}})
	c := &counted{memory: m, what: config.Digest}
	r, err := Walk(t.Context(), c, NewIndex([]ocispec.Descriptor{image, image, image}))
	if err != nil || len(r.Platforms) != 1 || c.reads != 1 {
		t.Errorf("%d reads, platforms %v (%v)", c.reads, r, err)
	}
}

// FuzzWalk follows any index to any manifest: what is said to be reachable is
// there in its size, once, and the errors are those that are promised.
func FuzzWalk(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"layers":[],"config":{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}}`), []byte("{}"), ocispec.MediaTypeImageManifest)
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}]}`), []byte("{}"), ocispec.MediaTypeImageIndex)
	f.Add([]byte(`{"schemaVersion":1,"fsLayers":[{"blobSum":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}]}`), []byte("{}"), "")
	f.Add([]byte(`{"layers":[{"digest":"sha512:","size":-1,"data":"e30=","urls":["x"]}]}`), []byte("x"), "application/vnd.oci.image.layer.nondistributable.v1.tar")
	f.Add([]byte(`{"blobs":[{}],"subject":{},"manifests":[]}`), []byte("null"), "x")
	f.Fuzz(func(t *testing.T, manifest, other []byte, mediaType string) {
		m := memory{}
		top := []ocispec.Descriptor{m.add(mediaType, manifest), m.add(mediaType, other)}
		index, err := ParseIndex(manifest)
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("ParseIndex: %v", err)
		}
		SniffMediaType(manifest)
		for _, index := range []ocispec.Index{NewIndex(top), NewIndex(top[:1]), index} {
			got, err := Walk(context.Background(), m, index)
			if err != nil {
				if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNotFound) {
					t.Errorf("%v", err)
				}
				continue
			}
			seen := map[digest.Digest]bool{}
			for _, b := range got.Blobs {
				data, ok := got.Inline[b.Digest]
				if !ok {
					data, ok = m[b.Digest]
				}
				if !ok || int64(len(data)) != b.Size || seen[b.Digest] || b.Digest.Algorithm().FromBytes(data) != b.Digest {
					t.Errorf("blob %s: there %t, %d bytes, said %d, before %t", b.Digest, ok, len(data), b.Size, seen[b.Digest])
				}
				seen[b.Digest] = true
			}
		}
	})
}
