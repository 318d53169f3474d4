package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"testing"
	"unicode"
	"unicode/utf8"
)

// What an image says must not move the cursor of who reads it, nor pass for other
// text.
func TestPrintable(t *testing.T) {
	for message, want := range map[string]string{
		"plain größe\n\ttabbed \ufffd": "plain größe\n\ttabbed \ufffd",
		"a\x1b]0;title\x07b\x00":       `a\x1b]0;title\x07b\x00`,
		"a\rb\x7f\u009b2J":             `a\x0db\u007f\u009b2J`,
		"a\x9b2J\xff\xc2":              `a\x9b2J\xff\xc2`,
		"a\u202eb\u2066c\u200f":        `a\u202eb\u2066c\u200f`,
		"a\u2028b\ufeffc\U000e0041":    `a\u2028b\ufeffc\udb40\udc41`,
	} {
		if got := printable(message); got != want {
			t.Errorf("%q is shown as %q, want %q", message, got, want)
		}
	}
}

// No character of any kind, nor a byte of half a one, gets through, however a
// text is cut into writes.
func TestPrinterLetsNothingThrough(t *testing.T) {
	var text []byte
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if unicode.In(r, unicode.C, unicode.Z) {
			text = utf8.AppendRune(text, r)
		}
	}
	for _, step := range []int{1, 2, 7, len(text)} {
		var out bytes.Buffer
		for rest := text; len(rest) > 0; rest = rest[min(step, len(rest)):] {
			if _, err := (&printer{to: &out}).Write(rest[:min(step, len(rest))]); err != nil {
				t.Fatal(err)
			}
		}
		if raw := obeyedIn(out.Bytes()); raw != "" {
			t.Errorf("written %d bytes at a time: %s is printed raw", step, raw)
		}
	}
}

// Programs read what a command prints as JSON, whatever is in it.
func TestPrintedJSON(t *testing.T) {
	var out bytes.Buffer
	said := "\x1b[2J\x7f\u009b\u202e\u2028\n\xff ß \U000e0041 \\u0041"
	if err := json.NewEncoder(&printer{to: &out}).Encode(map[string]string{said: said}); err != nil {
		t.Fatal(err)
	}
	want := "\x1b[2J\x7f\u009b\u202e\u2028\n\ufffd ß \U000e0041 \\u0041"
	var read map[string]string
	if err := json.Unmarshal(out.Bytes(), &read); err != nil || read[want] != want {
		t.Errorf("%q, %v; printed %q", read, err, out.String())
	}
	if raw := obeyedIn(out.Bytes()); raw != "" {
		t.Errorf("%s is raw in %q", raw, out.String())
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no room") }

// A result that could not be written is a failure, through the printer too.
func TestPrinterFails(t *testing.T) {
	if _, err := (&printer{to: &result{to: broken{}}}).Write([]byte("a\x1b")); err == nil {
		t.Error("no error")
	}
}

// obeyedIn names the first thing in a text that a terminal would obey; "" for
// none.
func obeyedIn(text []byte) string {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size == 1 || r != '\n' && r != '\t' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return strconv.Quote(string(text[:size]))
		}
		text = text[size:]
	}
	return ""
}
