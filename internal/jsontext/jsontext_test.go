package jsontext

import (
	"encoding/json"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// No message names a type of Go; each says what was expected and what was found.
func TestFault(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                         "expected an object, found an array",
		`{"config":{"size":"7"}}`:    "field config.size: expected a whole number of that range, found a string",
		`{"config":{"size":7.5}}`:    "field config.size: expected a whole number of that range, found number 7.5",
		`{"layers":{}}`:              "field layers: expected an array, found an object",
		`{"config":{"mediaType":1}}`: "field config.mediaType: expected a string, found a number",
		`{"annotations":true}`:       "field annotations: expected an object, found true or false",
		`{`:                          "unexpected end of JSON input",
	} {
		err := Fault(json.Unmarshal([]byte(text), &ocispec.Manifest{}))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "Go ") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if err := Fault(nil); err != nil {
		t.Error(err)
	}
}
