package oci

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// A tag that is taken for a signature is no image to those who pull, and one that is
// not does not travel with its image.
func TestReferrerTag(t *testing.T) {
	short, long := digest.FromString("x"), digest.SHA512.FromString("x")
	for _, suffix := range ReferrerSuffixes {
		for _, d := range []digest.Digest{short, long} {
			tag := ReferrerTagOf(d, suffix)
			got, ok := ParseReferrerTag(tag)
			if !ok || got.Suffix != suffix || !got.IsOf(d) || got.IsOf(digest.FromString("y")) || got.IsOf("nonsense") || !ValidTag(tag) {
				t.Errorf("%s of %s: %+v, %t", tag, d, got, ok)
			}
		}
	}
	if want := "sha512-" + long.Encoded()[:64] + ".sig"; ReferrerTagOf(long, SuffixSignature) != want {
		t.Errorf("SHA-512 is cut: %s, want %s", ReferrerTagOf(long, SuffixSignature), want)
	}
	if got, ok := ParseReferrerTag("sha512-" + long.Encoded()); !ok || !got.IsOf(long) {
		t.Errorf("SHA-512 that is not cut: %+v, %t", got, ok)
	}
	hex := short.Encoded()
	for _, tag := range []string{"", "1", "sha256-" + hex[1:], "sha256-" + hex + "0", "sha256-" + hex + ".other", "sha256-" + hex + "-sig",
		"sha384-" + hex, "x-sha256-" + hex, "sha256-" + strings.ToUpper(hex), "sha256-" + hex + ".sig.sig"} {
		if IsReferrerTag(tag) {
			t.Errorf("%q is taken for a tag of referrers", tag)
		}
	}
}
