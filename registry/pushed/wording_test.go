package pushed_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
	"github.com/image2ipfs/image2ipfs/test/wording"
)

// What is wrong with a manifest that is pushed is said in the words of JSON.
func TestManifestOfWrongTypes(t *testing.T) {
	b := newBench(t)
	whole := b.image("team/app", "one", "two")
	put := func(text []byte) error {
		desc := whole.Descriptor
		desc.Digest, desc.Size = digest.FromBytes(text), int64(len(text))
		_, err := b.PutManifest(t.Context(), "team/app", pushed.Manifest{Descriptor: desc, Content: text})
		return err
	}
	for _, text := range wording.Changed(whole.Content) {
		if err := put(text); err != nil {
			if words, is := wording.IsGo(err.Error()); is {
				t.Errorf("%s: %v has %q", text, err, words)
			}
		}
	}
	for change, says := range map[string]string{
		`"size":`:   "field config.size: expected a whole number, found the string",
		`"layers":`: "field layers: expected an array, found the string",
	} {
		err := put([]byte(strings.Replace(string(whole.Content), change, change+`"x","other":`, 1)))
		if !errors.Is(err, oci.ErrManifestInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %s", change, err, says)
		}
	}
}
