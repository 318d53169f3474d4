//go:build e2e

// zstd:chunked layers that another program wrote, and such with an index that
// lies: verify tells them apart.

package e2e

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
)

// foreignLayer is a layer that another program wrote.
type foreignLayer struct {
	mediaType   string
	blob        []byte
	diffID      digest.Digest
	annotations map[string]string
	urls        []string // where it is distributed; the layout then lacks it
}

func TestVerifyOfForeignIndex(t *testing.T) {
	t.Parallel()
	partial := commandFor("partial")
	if partial == nil {
		t.Fatal("E2E_PARTIAL is not set; run the tests with hack/e2e.sh")
	}
	l := writeForeign(t, partial, kindsLayer(t, implyingKinds))
	for _, c := range []struct {
		name, from, to string
	}{
		{"as it was written", "", ""},
		{"another mode", `"mode":2541`, `"mode":493`},
		{"another owner", `"uid":5`, `"uid":0`},
		{"another target", `"linkName":"\.\./é"`, `"linkName":"/etc/shadow"`},
		{"another name", `"name":"\./d/small"`, `"name":"./d/other"`},
		{"another digest", `"digest":"sha256:[0-9a-f]{64}"`, `"digest":"` + digest.FromString("other").String() + `"`},
		{"another place", `"offset":[0-9]+`, `"offset":1`},
	} {
		t.Run(c.name, func(t *testing.T) {
			lie := l
			if c.from != "" {
				lie = l.lying(t, c.from, c.to)
			}
			dir := filepath.Join(t.TempDir(), "layout")
			lie.layout(t, dir)
			p := newProgram(t)
			lines, err := p.publish(deadline(t), dir, false, "-r", "host")
			if err != nil {
				t.Fatal(err)
			}
			out, err := p.command().output(deadline(t), "verify", strings.TrimPrefix(lines[0], "host/"))
			switch {
			case c.from == "" && err != nil:
				t.Error(err)
			case c.from != "" && (err == nil || !strings.Contains(err.Error(), "the index does not fit its layer")):
				t.Errorf("expected a complaint about the index, found %v\n%s", err, out)
			}
		})
	}
}

// writeForeign lets containers/storage compress a tar.
func writeForeign(t *testing.T, partial command, plain []byte) (l foreignLayer) {
	t.Helper()
	dir := t.TempDir()
	tar, blob := filepath.Join(dir, "layer.tar"), filepath.Join(dir, "blob")
	if err := os.WriteFile(tar, plain, 0o644); err != nil {
		t.Fatal(err)
	}
	said, err := partial.bytes(deadline(t), "write", tar, blob)
	if err == nil {
		err = json.Unmarshal(said, &l.annotations)
	}
	if err == nil {
		l.blob, err = os.ReadFile(blob)
	}
	if err != nil {
		t.Fatal(err)
	}
	l.mediaType, l.diffID = ocispec.MediaTypeImageLayerZstd, digest.FromBytes(plain)
	return l
}

// Annotations of a zstd:chunked layer.
const (
	chunkedSum   = "io.github.containers.zstd-chunked.manifest-checksum"
	chunkedAt    = "io.github.containers.zstd-chunked.manifest-position"
	chunkedSplit = "io.github.containers.zstd-chunked.tarsplit-position"
)

// lying gives the layer with another table of contents, and annotations that fit
// that.
func (l foreignLayer) lying(t *testing.T, from, to string) foreignLayer {
	t.Helper()
	var toc, tocSize, tocRaw, split, splitSize, splitRaw int
	if _, err := fmt.Sscanf(l.annotations[chunkedAt]+" "+l.annotations[chunkedSplit], "%d:%d:%d:1 %d:%d:%d", &toc, &tocSize, &tocRaw, &split, &splitSize, &splitRaw); err != nil {
		t.Fatal(err)
	}
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	text, err := d.DecodeAll(l.blob[toc:toc+tocSize], nil)
	if err != nil {
		t.Fatal(err)
	}
	at := regexp.MustCompile(from).FindIndex(text)
	if at == nil {
		t.Fatalf("no %s in %s", from, text)
	}
	text = bytes.Join([][]byte{text[:at[0]], []byte(to), text[at[1]:]}, nil)
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	table := e.EncodeAll(text, nil)
	blob := append(bytes.Clone(l.blob[:toc-8]), skippableFrame(table)...)
	lie := foreignLayer{mediaType: l.mediaType, diffID: l.diffID, annotations: map[string]string{
		chunkedSum:   digest.FromBytes(table).String(),
		chunkedAt:    fmt.Sprintf("%d:%d:%d:1", toc, len(table), len(text)),
		chunkedSplit: fmt.Sprintf("%d:%d:%d", len(blob)+8, splitSize, splitRaw),
	}}
	lie.blob = append(blob, l.blob[split-8:]...)
	return lie
}

// skippableFrame is one that decompressors pass over (RFC 8878, section 3.1.2).
func skippableFrame(p []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 0x184D2A50)
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(p))), p...)
}

// layout writes an image of this layer.
func (l foreignLayer) layout(t *testing.T, dir string) {
	t.Helper()
	blob := func(mediaType string, data []byte) ocispec.Descriptor {
		d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
		path := filepath.Join(dir, oci.BlobPath(d.Digest))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return d
	}
	text := func(v any) []byte {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	layer := blob(l.mediaType, l.blob)
	layer.Annotations, layer.URLs = l.annotations, l.urls
	if len(l.urls) > 0 {
		if err := os.Remove(filepath.Join(dir, oci.BlobPath(layer.Digest))); err != nil {
			t.Fatal(err)
		}
	}
	config := blob(ocispec.MediaTypeImageConfig, text(ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{l.diffID}},
	}))
	manifest := blob(ocispec.MediaTypeImageManifest, text(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{layer},
	}))
	manifest.Annotations = map[string]string{ocispec.AnnotationRefName: "foreign:1"}
	for name, v := range map[string]any{
		ocispec.ImageLayoutFile: ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion},
		ocispec.ImageIndexFile:  ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{manifest}},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text(v), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
