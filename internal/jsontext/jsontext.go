// Package jsontext says what is wrong with a JSON text in the words of JSON: what
// encoding/json says tells of this program's own types.
package jsontext

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"
)

// Unmarshal is [json.Unmarshal] whose errors name the field, what was expected and what
// was found there: "field layers[2].size: expected a whole number, found the string "7"".
// A text that is null is an error where an object is read, of which json.Unmarshal leaves
// what was there before.
func Unmarshal(data []byte, v any) error {
	return explain(data, true, unmarshal(data, v))
}

func unmarshal(data []byte, v any) error {
	if to := reflect.TypeOf(v); to != nil && to.Kind() == reflect.Pointer && isNull(data) {
		if kind := to.Elem().Kind(); kind == reflect.Struct || kind == reflect.Map {
			return errNull
		}
	}
	return json.Unmarshal(data, v)
}

var errNull = errors.New("expected an object, found null")

func isNull(data []byte) bool { return string(bytes.Trim(data, " \t\r\n")) == "null" }

// UnmarshalSecret is Unmarshal of what nobody may see: nothing of it is quoted.
func UnmarshalSecret(data []byte, v any) error {
	return explain(data, false, unmarshal(data, v))
}

// Fault gives an error of a decoder, whose text is gone, without the names of Go's types:
// "field config.size: expected a whole number, found a string". Others stay as they are,
// nil too.
func Fault(err error) error { return explain(nil, false, err) }

// explain words an error about data, nil where that is not at hand; quotes tells whether
// it may be quoted.
func explain(data []byte, quotes bool, err error) error {
	if err == nil {
		return nil
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return wrongType(data, quotes, wrong)
	}
	if wrong, ok := errors.AsType[*json.SyntaxError](err); ok {
		return wrongSyntax(data, quotes, wrong)
	}
	if wrong, ok := errors.AsType[*time.ParseError](err); ok {
		at := find(data, func(v value) bool { return v.is == "string" && string(v.raw) == `"`+wrong.Value+`"` })
		if at.is == "" || !quotes {
			return fmt.Errorf("%sexpected a time such as 2006-01-02T15:04:05Z (RFC 3339), found a string that is none", at.field())
		}
		return fmt.Errorf("%sexpected a time such as 2006-01-02T15:04:05Z (RFC 3339), found %s", at.field(), at)
	}
	if strings.HasPrefix(err.Error(), "Time.UnmarshalJSON: ") {
		return errors.New("expected a time such as \"2006-01-02T15:04:05Z\" (RFC 3339), found what is no string")
	}
	if _, ok := errors.AsType[base64.CorruptInputError](err); ok {
		return errors.New("expected bytes in base64 (RFC 4648, section 4), found other text")
	}
	return err
}

func wrongType(data []byte, quotes bool, wrong *json.UnmarshalTypeError) error {
	is, number, _ := strings.Cut(wrong.Value, " ")
	at := find(data, func(v value) bool { return v.end == wrong.Offset && v.is == is })
	field, found := at.field(), at.String()
	if at.is == "" && wrong.Field != "" { // a part of the text was read by itself, or it is gone
		field = "field " + wrong.Field + ": "
	}
	if at.is == "" || !quotes {
		found = article(is)
	}
	isWhole := strings.Trim(number, "-0123456789") == "" && number != ""
	return fmt.Errorf("%sexpected %s, found %s", field, expected(wrong.Type, isWhole), found)
}

// expected names what a type is read from, and its range for whole numbers.
func expected(t reflect.Type, isWhole bool) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "a string of base64"
		}
		return "an array"
	case reflect.Array:
		return "an array"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Pointer:
		return expected(t.Elem(), isWhole)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if isWhole {
			most := int64(math.MaxInt64) >> (64 - t.Bits())
			return fmt.Sprintf("a whole number from %d to %d", -most-1, most)
		}
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if isWhole || t.Bits() == 0 {
			return fmt.Sprintf("a whole number from 0 to %d", uint64(math.MaxUint64)>>(64-t.Bits()))
		}
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "another value"
}

// article names a kind of value as encoding/json does, with its article.
func article(is string) string {
	switch is {
	case "array", "object":
		return "an " + is
	case "bool":
		return "true or false"
	}
	return "a " + is
}

// wrongSyntax tells where a text is no JSON (RFC 8259).
func wrongSyntax(data []byte, quotes bool, wrong *json.SyntaxError) error {
	at := int(wrong.Offset) - 1 // of the byte that may not be there
	isEnd := wrong.Error() == "unexpected end of JSON input"
	switch {
	case isEnd && data != nil && len(strings.TrimSpace(string(data))) == 0:
		return errors.New("no valid JSON: it is empty")
	case isEnd && !quotes:
		return errors.New("no valid JSON: it ends early")
	case isEnd:
		return fmt.Errorf("no valid JSON: it ends early%s", behind(data, len(data)))
	case strings.HasSuffix(wrong.Error(), "exceeded max depth"):
		return errors.New("it has more than 10000 objects and arrays one in the other")
	case at < 0 || at >= len(data) || !quotes:
		return fmt.Errorf("no valid JSON at byte %d", at)
	}
	return fmt.Errorf("no valid JSON: unexpected %q at byte %d%s", rune(data[at]), at, behind(data, at))
}

// behind quotes what is in front of a place.
func behind(data []byte, at int) string {
	before := string(data[max(0, at-mostQuoted):at])
	if before = printable(before); before == "" {
		return ""
	}
	if at > mostQuoted {
		before = "…" + before
	}
	return ", behind " + before
}
