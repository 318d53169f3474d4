package main

import "testing"

// What an image says must not move the cursor of who reads an error about it.
func TestPrintable(t *testing.T) {
	for message, want := range map[string]string{
		"plain größe\n\ttabbed": "plain größe\n\ttabbed",
		"a\x1b]0;title\x07b":    `a\x1b]0;title\x07b`,
		"a\rb\x7f\u009b2J":      `a\x0db\x7f\x9b2J`,
		"a\u202eb":              `a\x202eb`,
	} {
		if got := printable(message); got != want {
			t.Errorf("%q is shown as %q, want %q", message, got, want)
		}
	}
}
