package page

import (
	"fmt"
	"strings"
	"time"
)

// dateText is a time for humans, in the zone of the server; "" for none.
func dateText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04")
}

// isoText is a time for machines (HTML, "time", "datetime").
func isoText(t time.Time) string { return t.UTC().Format(time.RFC3339) }

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
