// Package wording tells whether a message is in this program's words.
package wording

import (
	"bytes"
	"encoding/json"
	"strings"
)

// ofGo is what Go's standard library says of its own names and types.
var ofGo = []string{
	"json: cannot", "json: invalid", "json: un", "json: Un", "Go ", "cannot unmarshal", "struct field", "looking for beginning", "JSON input", "UnmarshalJSON", "parsing time",
	"illegal base64", "after top-level value", "in string literal", "in literal ", "after object key", "after array element", "map[", "&{",
}

// IsGo tells text that has words of encoding/json or of Go in it, and gives them.
func IsGo(text string) (words string, is bool) {
	for _, words := range ofGo {
		if strings.Contains(text, words) {
			return words, true
		}
	}
	return "", false
}

// Changed gives a JSON text's changes, each of which has another value in the place of
// one: of another type, or of a type with other contents. The text cut off is among them.
func Changed(text []byte) (all [][]byte) {
	var whole any
	if err := json.Unmarshal(text, &whole); err != nil {
		panic(err)
	}
	others := []any{7, -1.5, 1e300, "x", true, nil, []any{}, []any{[]any{}}, map[string]any{}, map[string]any{"x": []any{1}}}
	var change func(v any, set func(any))
	change = func(v any, set func(any)) {
		for _, other := range others {
			set(other)
			data, err := json.Marshal(whole)
			if err != nil {
				panic(err)
			}
			all = append(all, data)
		}
		set(v)
		switch v := v.(type) {
		case map[string]any:
			for name, below := range v {
				change(below, func(other any) { v[name] = other })
			}
		case []any:
			for i, below := range v {
				change(below, func(other any) { v[i] = other })
			}
		}
	}
	change(whole, func(v any) { whole = v })
	for _, n := range []int{0, 1, len(text) / 2, len(text) - 1} {
		all = append(all, text[:n])
	}
	return append(all, append(bytes.Clone(text), 'x'), bytes.Replace(text, []byte(":"), []byte(" "), 1))
}
