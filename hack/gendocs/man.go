package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"
)

// writeMan writes a manual page of section 1 for each command, made of what its
// --help says.
func writeMan(binary, dir string) error {
	pages, err := collect(binary, []string{"image2ipfs"})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	short := map[string]string{}
	for _, p := range pages {
		for name, text := range p.subcommands() {
			short[p.title()+" "+name] = text
		}
	}
	for _, p := range pages {
		text := md2man.Render(manSource(p, short[p.title()], pages))
		if err := os.WriteFile(filepath.Join(dir, strings.Join(p.path, "-")+".1"), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// subcommands are the names and short texts below "Available Commands:".
func (p page) subcommands() map[string]string {
	found := map[string]string{}
	for _, match := range subcommandText.FindAllStringSubmatch(p.section("Available Commands"), -1) {
		found[match[1]] = match[2]
	}
	return found
}

// section is what stands below a heading of the help, up to the next one.
func (p page) section(heading string) string {
	_, rest, found := strings.Cut("\n"+p.help+"\n", "\n"+heading+":\n")
	if !found {
		return ""
	}
	if next := headingLine.FindStringIndex(rest); next != nil {
		rest = rest[:next[0]]
	}
	return strings.Trim(rest, "\n")
}

var (
	subcommandText = regexp.MustCompile(`(?m)^  ([a-z0-9-]+) +(\S.*)$`)
	headingLine    = regexp.MustCompile(`(?m)^(?:[A-Z][A-Za-z ]+:|Use "image2ipfs .*)$`)
	flagLine       = regexp.MustCompile(`^ +(?:(-\w), )?(--[a-z0-9-]+)(?: (\S+))?  +(\S.*)$`)
	special        = regexp.MustCompile("[\\\\`*_{}\\[\\]()#+.!:|&<>~-]")
)

// manSource is the page in md2man's markdown.
func manSource(p page, short string, all []page) []byte {
	intro, _, _ := strings.Cut(p.help, "\nUsage:\n")
	intro, _, _ = strings.Cut(intro, "\nExit codes:\n")
	if short == "" { // nobody lists the root
		short, _, _ = strings.Cut(strings.Join(strings.Fields(intro), " "), ".")
	}
	name := strings.Join(p.path, "-")
	var b bytes.Buffer
	fmt.Fprintf(&b, "%% %q \"1\" \"\" \"image2ipfs\" \"image2ipfs\"\n\n# NAME\n\n%s \\- %s\n", strings.ToUpper(name), escaped(name), escaped(short))
	fmt.Fprintf(&b, "\n# SYNOPSIS\n\n%s\n\n# DESCRIPTION\n\n", indented(p.section("Usage")))
	paragraphs(&b, intro)
	for _, flags := range []string{"Flags", "Global Flags"} {
		if text := p.section(flags); text != "" {
			fmt.Fprintf(&b, "\n# %s\n\n", strings.ToUpper(strings.Replace(flags, "Flags", "Options", 1)))
			options(&b, text)
		}
	}
	for _, heading := range []string{"Examples", "Exit codes"} {
		if text := p.section(heading); text != "" {
			fmt.Fprintf(&b, "\n# %s\n\n%s\n", strings.ToUpper(cmp.Or(manHeading[heading], heading)), indented(text))
		}
	}
	b.WriteString("\n# SEE ALSO\n\n")
	var see []string
	for _, other := range all {
		if other.title() != p.title() {
			see = append(see, "**"+escaped(strings.Join(other.path, "-"))+"**(1)")
		}
	}
	b.WriteString(strings.Join(see, ", ") + "\n")
	return b.Bytes()
}

// manHeading are the manual's own words for headings of the help.
var manHeading = map[string]string{"Exit codes": "Exit status"}

// paragraphs writes text for people; lines that are indented there stay as they are.
func paragraphs(b *bytes.Buffer, text string) {
	kept := false
	for line := range strings.Lines(strings.TrimSpace(text) + "\n") {
		line = strings.TrimRight(line, "\n")
		keep := strings.HasPrefix(line, "  ")
		if keep != kept && line != "" {
			b.WriteString("\n")
			kept = keep
		}
		if keep {
			b.WriteString("    " + line + "\n")
		} else {
			b.WriteString(escaped(line) + "\n")
		}
	}
}

// options writes the list of flags.
func options(b *bytes.Buffer, text string) {
	for line := range strings.Lines(text) {
		m := flagLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			continue
		}
		if m[1] != "" {
			fmt.Fprintf(b, "**%s**, ", escaped(m[1]))
		}
		fmt.Fprintf(b, "**%s**", escaped(m[2]))
		if m[3] != "" {
			fmt.Fprintf(b, " *%s*", escaped(m[3]))
		}
		fmt.Fprintf(b, "\n: %s\n\n", escaped(m[4]))
	}
}

func escaped(text string) string { return special.ReplaceAllString(text, `\$0`) }

// indented makes a block of lines one that stays as it is.
func indented(text string) string {
	return "    " + strings.ReplaceAll(text, "\n", "\n    ")
}
