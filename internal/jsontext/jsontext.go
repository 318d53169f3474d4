// Package jsontext says what is wrong with a JSON text in the words of JSON: what
// encoding/json says tells of this program's own types.
package jsontext

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// Fault gives an error of encoding/json without the names of Go's types: "field
// config.size: expected a number, found a string". Others stay as they are, nil too.
func Fault(err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return err
	}
	at := ""
	if wrong.Field != "" {
		at = "field " + wrong.Field + ": "
	}
	return fmt.Errorf("%sexpected %s, found %s", at, expected(wrong.Type), found(wrong.Value))
}

func expected(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Pointer:
		return expected(t.Elem())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number of that range"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "another value"
}

// found names a value as encoding/json does, with its article.
func found(value string) string {
	switch value {
	case "array", "object":
		return "an " + value
	case "bool":
		return "true or false"
	case "string", "number":
		return "a " + value
	}
	return value // a number, as it stands there
}
