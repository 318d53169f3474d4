package main

import (
	"strings"
	"testing"
)

// TestManSource: without it a page could lose flags, or show its text as markup.
func TestManSource(t *testing.T) {
	p := page{path: []string{"image2ipfs", "ls"}, help: `List *what* is in $STORE.

Kinds:
  one   -- as it stands

Usage:
  image2ipfs ls [flags]

Examples:
  image2ipfs ls --json

Flags:
  -h, --help          help for ls
      --since time    newer than_this
      --json          print JSON`}
	got := string(manSource(p, "List images", []page{p, {path: []string{"image2ipfs"}}}))
	for _, want := range []string{
		"# NAME\n\nimage2ipfs\\-ls \\- List images\n",
		"# SYNOPSIS\n\n      image2ipfs ls [flags]\n",
		`List \*what\* is in $STORE\.`,
		"      one   -- as it stands\n",
		"**\\-h**, **\\-\\-help**\n: help for ls\n",
		"**\\-\\-since** *time*\n: newer than\\_this\n",
		"# EXAMPLES\n\n      image2ipfs ls --json\n",
		"# SEE ALSO\n\n**image2ipfs**(1)\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q:\n%s", want, got)
		}
	}
}
