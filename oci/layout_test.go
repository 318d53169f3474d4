package oci

import (
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// Whatever is wrong with an index, or too much, is refused before it takes more
// memory than its bytes.
func TestParseIndex(t *testing.T) {
	list := func(n int) string { return "[{}" + strings.Repeat(",{}", n-1) + "]" }
	for _, test := range []struct {
		name, index string
		manifests   int // -1 when it is refused
	}{
		{"none", `{"schemaVersion":2}`, 0}, {"null", `{"schemaVersion":2,"manifests":null}`, 0}, {"two", `{"schemaVersion":2,"manifests":[{},{"size":5}]}`, 2},
		{"as many as may be", `{"schemaVersion":2,"manifests":` + list(maxIndexed) + `}`, maxIndexed},
		{"one more", `{"schemaVersion":2,"manifests":` + list(maxIndexed+1) + `}`, -1},
		{"spelt otherwise", `{"schemaVersion":2,"MANIFESTS":` + list(maxIndexed+1) + `}`, -1},
		{"hidden by another", `{"schemaVersion":2,"manifests":` + list(maxIndexed+1) + `,"manifests":[]}`, -1},
		{"no descriptors", `{"schemaVersion":2,"manifests":{}}`, -1}, {"no JSON", `{`, -1}, {"other version", `{"schemaVersion":1}`, 0}, {"no version", `{"manifests":[{}]}`, 1},
	} {
		index, err := ParseIndex([]byte(test.index))
		if test.manifests < 0 && !errors.Is(err, ErrCorrupt) || test.manifests >= 0 && (err != nil || len(index.Manifests) != test.manifests) {
			t.Errorf("%s: %d manifests, %v", test.name, len(index.Manifests), err)
		}
	}
}

// What an archive says is a digest may be anything; asking for its path must not end the
// program, nor lead out of the layout.
func TestPathOfWhatIsNoDigest(t *testing.T) {
	for _, d := range []digest.Digest{"", "bogus", "sha256:", "sha256:../../x", "md5:00", ":"} {
		if path := BlobPath(d); path != "" {
			t.Errorf("the blob of digest %q is at %q", d, path)
		}
		if tag := ReferrerTagOf(d, SuffixSignature); tag != "" {
			t.Errorf("the signature of digest %q has tag %q", d, tag)
		}
	}
}
