package main

import (
	"fmt"
	"strings"
	"unicode"
)

// printable shows the control characters of a message, which may quote what an
// image says, instead of sending them to a terminal. Lines and tabs stay.
func printable(message string) string {
	var out strings.Builder
	for _, r := range message {
		if unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r) {
			fmt.Fprintf(&out, "\\x%02x", r)
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}
