package jsontext

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/test/wording"
)

// Each message names the field, what was expected and what was found, and no type of Go.
func TestUnmarshal(t *testing.T) {
	for text, want := range map[string]string{
		`[1,2]`:                                           "expected an object, found an array, [1,2]",
		`{"config":{"size":"7"}}`:                         `field config.size: expected a whole number, found the string "7"`,
		`{"config" : { "size" : 7.5 }}`:                   "field config.size: expected a whole number, found the number 7.5",
		`{"config":{"size":9223372036854775808}}`:         "field config.size: expected a whole number from -9223372036854775808 to 9223372036854775807, found the number 9223372036854775808",
		`{"layers":{ "a" : "b" }}`:                        `field layers: expected an array, found an object, { "a" : "b" }`,
		`{"layers":[{}, {"size": 1}, {"digest": ["x"]}]}`: `field layers[2].digest: expected a string, found an array, ["x"]`,
		`{"config":{"mediaType":1}}`:                      "field config.mediaType: expected a string, found the number 1",
		`{"annotations":true}`:                            "field annotations: expected an object, found true",
		`{"config":{"data":1}}`:                           "field config.data: expected a string of base64, found the number 1",
		`{"config":{"data":"!"}}`:                         "expected bytes in base64",
		`{"config":{"mediaType":["` + strings.Repeat("long", 99) + `"]}}`: `found an array, ["` + strings.Repeat("long", 9) + "lo…",
		`{"annotations":{"a":{"b":"` + "\u202e" + `"}}}`:                  `field annotations.a: expected a string, found an object, {"b":"` + "\ufffd" + `"}`,
		`{"layers":[{"size":1e999}]}`:                                     "field layers[0].size: expected a whole number, found the number 1e999",
		`{`:                                                               "no valid JSON: it ends early, behind {",
		"":                                                                "no valid JSON: it is empty",
		`{"layers": [x]}`:                                                 `no valid JSON: unexpected 'x' at byte 12, behind {"layers": [`,
		`x`:                                                               `no valid JSON: unexpected 'x' at byte 0`,
		`{} {}`:                                                           `no valid JSON: unexpected '{' at byte 3, behind {}`,
		strings.Repeat("[", 10001):                                        "more than 10000 objects and arrays",
	} {
		tells(t, text, Unmarshal([]byte(text), &ocispec.Manifest{}), want)
	}
	for text, want := range map[string]string{
		`{"created":"yesterday"}`:                             `field created: expected a time such as 2006-01-02T15:04:05Z (RFC 3339), found the string "yesterday"`,
		`{"history":[{},{"created":"2020-13-01T00:00:00Z"}]}`: `field history[1].created: expected a time such as`,
		`{"created":5}`:                                       "expected a time such as",
	} {
		tells(t, text, Unmarshal([]byte(text), &ocispec.Image{}), want)
	}
	var fields map[string]json.RawMessage
	for _, text := range []string{"null", " null\n"} {
		tells(t, text, Unmarshal([]byte(text), &ocispec.Manifest{}), "expected an object, found null")
		tells(t, text, Unmarshal([]byte(text), &fields), "expected an object, found null")
		tells(t, text, UnmarshalSecret([]byte(text), &fields), "expected an object, found null")
	}
	list, pointer := []string{"x"}, &ocispec.Image{}
	if err := Unmarshal([]byte("null"), &list); err != nil || list != nil {
		t.Errorf("null for a list: %v, %v", list, err)
	}
	if err := Unmarshal([]byte("null"), &pointer); err != nil || pointer != nil {
		t.Errorf("null for what may be nothing: %v, %v", pointer, err)
	}
	var small struct {
		A uint8
		B float32
		C []struct{ D int16 }
	}
	for text, want := range map[string]string{
		`{"A":300}`:                   "field A: expected a whole number from 0 to 255, found the number 300",
		`{"A":-1}`:                    "field A: expected a whole number from 0 to 255, found the number -1",
		`{"B":"x"}`:                   `field B: expected a number, found the string "x"`,
		`{"C":[{"D":1},{"D":99999}]}`: "field C[1].D: expected a whole number from -32768 to 32767, found the number 99999",
	} {
		tells(t, text, Unmarshal([]byte(text), &small), want)
	}
	if err := Unmarshal([]byte(`{"A":3}`), &small); err != nil || small.A != 3 {
		t.Errorf("%d, %v", small.A, err)
	}
}

// Of a stream the text is gone: the field is told, and the kind of what was found.
func TestFault(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                      "expected an object, found an array",
		`{"config":{"size":"7"}}`: "field config.size: expected a whole number, found a string",
		`{"config":{"size":7.5}}`: "field config.size: expected a whole number, found a number",
		`{"annotations":true}`:    "field annotations: expected an object, found true or false",
		`{"config":x}`:            "no valid JSON at byte 10",
	} {
		tells(t, text, Fault(json.NewDecoder(strings.NewReader(text)).Decode(&ocispec.Manifest{})), want)
	}
	if err := Fault(nil); err != nil {
		t.Error(err)
	}
}

// What is secret is not quoted, wherever the fault is.
func TestUnmarshalSecret(t *testing.T) {
	var keys struct {
		Keys []struct {
			Alias string
			Key   []byte
			Made  time.Time
		}
	}
	for text, want := range map[string]string{
		`{"Keys":"SECRET"}`:                   "field Keys: expected an array, found a string",
		`{"Keys":[{"Alias":["SECRET"]}]}`:     "field Keys[0].Alias: expected a string, found an array",
		`{"Keys":[{"Key":739000}]}`:           "field Keys[0].Key: expected a string of base64, found a number",
		`{"Keys":[{"Key":"SECRET!"}]}`:        "expected bytes in base64",
		`{"Keys":[{"Made":"SECRET"}]}`:        "field Keys[0].Made: expected a time",
		`{"Keys":[{"Key":"SECRET"}, SECRET]}`: "no valid JSON at byte 27",
		`{"Keys":[{"Key":"SECRET"`:            "no valid JSON: it ends early",
	} {
		err := UnmarshalSecret([]byte(text), &keys)
		if tells(t, text, err, want); err != nil && (strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "739")) {
			t.Errorf("%s: %v quotes it", text, err)
		}
	}
}

func tells(t *testing.T, text string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%.100s: %v, want %s", text, err, want)
	} else if words, is := wording.IsGo(err.Error()); is {
		t.Errorf("%.100s: %v has %q", text, err, words)
	}
}

// FuzzUnmarshal reads any text: no error has Go's words, and none is lost.
func FuzzUnmarshal(f *testing.F) {
	for _, seed := range []string{`{"layers":[{"size":"x"}]}`, `{"manifests":[{"platform":{"os":1}}]}`, `[`, `{"created":1}`, `{"data":"!"}`, "\xff", `{"a":1e999}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, v := range []func() any{func() any { return &ocispec.Manifest{} }, func() any { return &ocispec.Index{} }, func() any { return &ocispec.Image{} }} {
			err := Unmarshal(data, v())
			if (err == nil) != (json.Unmarshal(data, v()) == nil) {
				t.Errorf("%q: %v", data, err)
			}
			if err == nil {
				continue
			}
			if words, is := wording.IsGo(err.Error()); is && !bytes.Contains(data, []byte(strings.TrimSpace(words))) {
				t.Errorf("%q: %v has %q", data, err, words)
			}
		}
	})
}
