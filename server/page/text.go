package page

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/image2ipfs/image2ipfs/oci"
)

// dateText is a time for humans, in the zone of the server, which it names; "" for none.
func dateText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04 MST")
}

// isoText is a time for machines (HTML, "time", "datetime").
func isoText(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// maxShown is how much of one text is shown, in bytes: a name of a layout may have 4 MiB.
const maxShown = 512

// quoted is a text that somebody else wrote, with what turns text around or is not seen
// shown as such; of a long one the beginning.
func quoted(text string) string {
	return oci.Quoted(clipped(text, maxShown))
}

// clipped is the beginning of a text, at most so many bytes of it.
func clipped(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// short is the beginning of an identifier that is too long to be read.
func short(text string) string {
	const most = 12
	algorithm, hex, found := strings.Cut(text, ":")
	if found && len(hex) > most {
		return algorithm + ":" + hex[:most] + "…"
	}
	if !found && len(text) > most {
		return text[:most] + "…"
	}
	return text
}

// countText is a number with its noun.
func countText(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// browsable tells whether a blob of a media type may be a layer, whose files can be listed: a
// tar, compressed or not. What tells no type is looked at.
func browsable(mediaType string) bool {
	return mediaType == "" || slices.ContainsFunc(strings.FieldsFunc(mediaType, func(r rune) bool { return strings.ContainsRune("./+-", r) }), func(word string) bool {
		return word == "tar" || word == "tgz"
	})
}
