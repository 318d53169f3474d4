package publish

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/opencontainers/image-spec/schema"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/oci"
)

// What we write is what the image-spec's own JSON schemas ask for: each
// oci-layout, index, manifest and config of every kind of archive.
func TestWrittenDocumentsFollowTheSchemas(t *testing.T) {
	for name, f := range map[string]files{"docker20": docker20(), "docker28": docker28(), "layout": layout()} {
		for _, o := range []Options{{}, {Recompress: true}} {
			a, err := archive.Open(f.write(t))
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "out")
			if _, err := ToDirectory(t.Context(), a, dir, o); err != nil {
				t.Fatal(err)
			}
			v := &schemaCheck{t: t, what: name, dir: dir, seen: map[string]int{}}
			v.document("oci-layout", schema.ValidatorMediaTypeLayoutHeader)
			v.index("index.json")
			if v.seen[ocispec.MediaTypeImageManifest] == 0 || v.seen[ocispec.MediaTypeImageConfig] == 0 {
				t.Errorf("%s: only %v were validated", name, v.seen)
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// schemaCheck validates a layout in a directory.
type schemaCheck struct {
	t    *testing.T
	what string
	dir  string
	seen map[string]int // by media type
}

func (v *schemaCheck) document(path string, s schema.Validator) []byte {
	v.t.Helper()
	data, err := os.ReadFile(filepath.Join(v.dir, path))
	if err != nil {
		v.t.Fatal(err)
	}
	if err := s.Validate(bytes.NewReader(data)); err != nil {
		v.t.Errorf("%s: %s does not follow %s: %v\n%s", v.what, path, s, err, data)
	}
	v.seen[string(s)]++
	return data
}

func (v *schemaCheck) index(path string) {
	v.t.Helper()
	index, err := oci.ParseIndex(v.document(path, schema.ValidatorMediaTypeImageIndex))
	if err != nil {
		v.t.Fatal(err)
	}
	for _, desc := range index.Manifests {
		blob := oci.BlobPath(desc.Digest)
		switch _, err := os.Stat(filepath.Join(v.dir, blob)); {
		case err != nil: // of a sparse index
		case oci.IsIndex(desc.MediaType):
			v.index(blob)
		default:
			v.manifest(blob)
		}
	}
}

func (v *schemaCheck) manifest(path string) {
	v.t.Helper()
	var m ocispec.Manifest
	if err := json.Unmarshal(v.document(path, schema.ValidatorMediaTypeManifest), &m); err != nil {
		v.t.Fatal(err)
	}
	v.document(oci.BlobPath(m.Config.Digest), schema.ValidatorMediaTypeImageConfig)
}
