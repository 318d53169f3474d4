package jsontext

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// mostQuoted is how many bytes of a text are quoted.
const mostQuoted = 40

// value is a value in a text.
type value struct {
	path string // such as layers[2].size; empty for the whole
	is   string // array, object, string, number, bool or null; empty for none at all
	raw  []byte // as it stands there; of arrays and objects that are passed the bracket
	end  int64  // byte behind it, behind the bracket for arrays and objects
}

// field is how a message about a value begins.
func (v value) field() string {
	if v.path == "" {
		return ""
	}
	const most = 120
	path := printable(v.path)
	if len(path) > most {
		path = "…" + strings.ToValidUTF8(path[len(path)-most:], "")
	}
	return "field " + path + ": "
}

// String quotes the value.
func (v value) String() string {
	switch v.is {
	case "array", "object":
		return article(v.is) + ", " + abridged(string(v.raw))
	case "string":
		return "the string " + abridged(string(v.raw))
	case "number":
		return "the number " + abridged(string(v.raw))
	}
	return abridged(string(v.raw))
}

// abridged is text for the middle of a line.
func abridged(text string) string {
	cut := text[:min(len(text), mostQuoted)]
	shown := printable(cut)
	if len(cut) < len(text) {
		shown += "…"
	}
	return shown
}

func printable(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// find gives the first value of a text for which is is true; none where there is no such.
func find(data []byte, is func(value) bool) value {
	s := search{data: data, d: json.NewDecoder(bytes.NewReader(data)), is: is}
	s.d.UseNumber()
	found, _ := s.value()
	return found
}

// search goes through a text.
type search struct {
	data []byte
	d    *json.Decoder
	is   func(value) bool
	at   []any // names and indices down to where it is
}

// path is where it is, such as layers[2].size.
func (s *search) path() string {
	var path strings.Builder
	for _, step := range s.at {
		if _, isIndex := step.(int); isIndex {
			fmt.Fprintf(&path, "[%d]", step)
			continue
		}
		if path.Len() > 0 {
			path.WriteByte('.')
		}
		fmt.Fprint(&path, step)
	}
	return path.String()
}

// value reads a value and what is in it; done is true when one was found, or the text is
// at its end.
func (s *search) value() (found value, done bool) {
	before := s.d.InputOffset()
	token, err := s.d.Token()
	if err != nil {
		return value{}, true
	}
	v := value{is: kind(token), end: s.d.InputOffset()}
	start := before + int64(len(s.data[before:])-len(bytes.TrimLeft(s.data[before:], " \t\r\n:,")))
	v.raw = s.data[start:v.end]
	if s.is(v) {
		v.path = s.path()
		var whole json.RawMessage
		if json.NewDecoder(bytes.NewReader(s.data[start:])).Decode(&whole) == nil {
			v.raw = whole
		}
		return v, true
	}
	if v.is != "array" && v.is != "object" {
		return value{}, false
	}
	for i := 0; s.d.More(); i++ {
		var step any = i
		if v.is == "object" {
			if step, err = s.d.Token(); err != nil {
				return value{}, true
			}
		}
		s.at = append(s.at, step)
		if found, done = s.value(); done {
			return found, true
		}
		s.at = s.at[:len(s.at)-1]
	}
	_, err = s.d.Token()
	return value{}, err != nil
}

func kind(token json.Token) string {
	switch token := token.(type) {
	case json.Delim:
		if token == '[' {
			return "array"
		}
		return "object"
	case string:
		return "string"
	case json.Number:
		return "number"
	case bool:
		return "bool"
	}
	return "null"
}
