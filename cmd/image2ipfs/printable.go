package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/internal/output"
)

// printer is what all that a command prints goes through, on standard output and
// on standard error: names, platforms, URLs and errors may quote an image, a peer
// or a server, and none of them is to move the cursor of who reads them, retitle
// the window or turn the order of letters round. What programs take byte for byte,
// archives and paths, goes past it; see [exact].
type printer struct{ to io.Writer }

func (p *printer) Write(data []byte) (int, error) {
	if _, err := io.WriteString(p.to, printable(string(data))); err != nil {
		return 0, err
	}
	return len(data), nil
}

// exact is a command's standard output without [printable], for a path that the
// user chose and a program takes.
func exact(cmd *cobra.Command) io.Writer {
	if p, ok := cmd.OutOrStdout().(*printer); ok {
		return p.to
	}
	return cmd.OutOrStdout()
}

// terminal is the file that w ends in, nil when that is none.
func terminal(w io.Writer) *os.File {
	for {
		switch to := w.(type) {
		case *os.File:
			return to
		case *printer:
			w = to.to
		case *result:
			w = to.to
		case *output.Writer:
			return to.File()
		default:
			return nil
		}
	}
}

// printable shows what a terminal would obey or hide instead of sending it there:
// control characters of C0 and C1, DEL, format characters such as those that turn
// the direction of text, line separators, and bytes that are no UTF-8. Lines and
// tabs stay. JSON stays the same JSON: its encoder leaves only those raw that
// become \u escapes here.
func printable(text string) string {
	clean := true
	for _, r := range text {
		clean = clean && r != utf8.RuneError && !obeyed(r)
	}
	if clean {
		return text
	}
	var out strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1, r < ' ' && obeyed(r):
			fmt.Fprintf(&out, `\x%02x`, text[i])
		case obeyed(r) && r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		case obeyed(r):
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			out.WriteString(text[i : i+size])
		}
		i += size
	}
	return out.String()
}

// indented sets all lines of a message in but the first, by two blanks, so that none that an image
// brings along passes for a message of its own.
func indented(message string) string {
	return strings.ReplaceAll(strings.ReplaceAll(message, "\n", "\n  "), "\n    ", "\n  ")
}

// obeyed tells of characters that are no letters to a terminal.
func obeyed(r rune) bool {
	return r != '\n' && r != '\t' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}
