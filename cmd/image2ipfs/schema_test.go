package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs/network"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/server"
	"github.com/image2ipfs/image2ipfs/server/settings"
)

// schemaDir has what the reference says of --json: the pages are made of it.
const schemaDir = "../../docs/reference/schema"

// jsonTypes are what commands encode, by schema.
var jsonTypes = map[string]any{
	"publish": published{}, "inspect": inspected{}, "ls": []listed{}, "verify": verified{}, "pull": pulled{},
	"pin-add": pinned{}, "rm": removed{}, "du": diskUsage{}, "gc": packstore.GCStats{}, "id": network.Identity{}, "peers": []network.Peer{},
	"ref": ref.Spellings{}, "setup": planJSON{}, "doctor": examined{}, "push-event": server.PushEvent{},
	"backup": backedUp{}, "restore": restored{}, "config-ls": []settings.Setting{}, "name-ls": []ownedName{}, "name-resolve": resolvedName{}, "where": whereabouts{},
	"service-ls": []knownService{}, "service-pin": servicePin{}, "service-pins": []servicePin{},
}

// schema is the part of a JSON schema that is compared with a type.
type schema struct {
	Commands             []string           `json:"x-commands"`
	Option               string             `json:"x-option"` // a command with its flag, where that is not --json
	Type                 string             `json:"type"`
	Enum                 []any              `json:"enum"`
	Description          string             `json:"description"`
	Properties           map[string]*schema `json:"properties"`
	Required             []string           `json:"required"`
	Items                *schema            `json:"items"`
	AdditionalProperties json.RawMessage    `json:"additionalProperties"`
}

func readSchemas(t *testing.T) map[string]*schema {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(schemaDir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d schemas in %s, %v", len(files), schemaDir, err)
	}
	all := map[string]*schema{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s := &schema{}
		if err := json.Unmarshal(data, s); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".json")] = s
	}
	return all
}

// Who writes a program against --json must find every field that there is in the
// reference, and none that there is not.
func TestSchemasDescribeTheTypes(t *testing.T) {
	schemas := readSchemas(t)
	if got, want := slices.Sorted(maps.Keys(schemas)), slices.Sorted(maps.Keys(jsonTypes)); !slices.Equal(got, want) {
		t.Fatalf("there are schemas %q for types %q", got, want)
	}
	for name, s := range schemas {
		compareSchema(t, name, s, reflect.TypeOf(jsonTypes[name]))
	}
}

func compareSchema(t *testing.T, at string, s *schema, typ reflect.Type) {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	want := map[reflect.Kind]string{
		reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Int64: "integer",
		reflect.Slice: "array", reflect.Map: "object", reflect.Struct: "object",
	}[typ.Kind()]
	isText := typ.String() == "time.Time" || typ.String() == "[]uint8"
	switch {
	case isText:
		want = "string"
	case s.Enum != nil && want == "string":
		want = ""
	}
	if s.Type != want {
		t.Errorf("%s is of type %q, the schema says %q", at, want, s.Type)
		return
	}
	switch typ.Kind() {
	case reflect.Slice:
		if !isText {
			compareSchema(t, at+"[]", s.Items, typ.Elem())
		}
	case reflect.Map:
		var values schema
		if err := json.Unmarshal(s.AdditionalProperties, &values); err != nil {
			t.Errorf("%s: %v", at, err)
			return
		}
		compareSchema(t, at+"{}", &values, typ.Elem())
	case reflect.Struct:
		if !isText {
			compareStruct(t, at, s, typ)
		}
	}
}

func compareStruct(t *testing.T, at string, s *schema, typ reflect.Type) {
	fields := map[string]reflect.Type{}
	var required []string
	for _, f := range reflect.VisibleFields(typ) {
		name, options, tagged := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !f.IsExported() {
			continue
		}
		if name == "" {
			t.Errorf("%s: field %s has no name in JSON", at, f.Name)
		}
		fields[name] = f.Type
		if !tagged || !strings.Contains(options, "omit") {
			required = append(required, name)
		}
	}
	slices.Sort(required)
	slices.Sort(s.Required)
	if got, want := slices.Sorted(maps.Keys(s.Properties)), slices.Sorted(maps.Keys(fields)); !slices.Equal(got, want) {
		t.Errorf("%s has fields %q, the schema %q", at, want, got)
		return
	}
	if !slices.Equal(s.Required, required) {
		t.Errorf("%s always has %q, the schema says %q", at, required, s.Required)
	}
	if string(s.AdditionalProperties) != "false" {
		t.Errorf("%s: the schema lets unknown fields pass", at)
	}
	for name, field := range fields {
		if s.Properties[name].Description == "" {
			t.Errorf("%s.%s is not described", at, name)
		}
		compareSchema(t, at+"."+name, s.Properties[name], field)
	}
}

// Every --json must have its schema, and a script that compares it with what the
// command prints.
func TestEveryJSONIsDescribedAndTried(t *testing.T) {
	described := map[string]string{}
	for name, s := range readSchemas(t) {
		for _, command := range s.Commands {
			described[command] = name
		}
	}
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	scripts = append(scripts, "convert_test.go") // there is no old tree in a script
	var text strings.Builder
	for _, script := range scripts {
		data, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(data)
	}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		path := strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), "image2ipfs"), " ")
		if _, ok := described[path]; ok != (cmd.Flags().Lookup("json") != nil) {
			t.Errorf("%q has --json: %t; it has a schema: %t", cmd.CommandPath(), !ok, ok)
		}
		inScript, inTest := "\ndescribed "+cmd.CommandPath()+"\n", "fits("+strconv.Quote(path)+", out)"
		if described[path] != "" && !strings.Contains(text.String(), inScript) && !strings.Contains(text.String(), inTest) {
			t.Errorf("no test says: described %s", cmd.CommandPath())
		}
		delete(described, path)
		for _, child := range cmd.Commands() {
			walk(child)
		}
	}
	walk(newRoot(&strings.Builder{}, &strings.Builder{}))
	for name, s := range readSchemas(t) {
		if s.Option == "" {
			continue
		}
		command, flag, _ := strings.Cut(s.Option, " --")
		cmd, _, err := newRoot(&strings.Builder{}, &strings.Builder{}).Find(strings.Fields(command))
		if err != nil || cmd.Flags().Lookup(flag) == nil || len(s.Commands) > 0 {
			t.Errorf("%s is of %q: there is no such flag", name, s.Option)
		}
		if !strings.Contains(text.String(), "\ndescribed image2ipfs "+s.Option+"\n") {
			t.Errorf("no test says: described image2ipfs %s", s.Option)
		}
	}
	if len(described) > 0 {
		t.Errorf("schemas of commands that there are not: %v", described)
	}
}

// described COMMAND… compares the JSON values on standard output with the schema of
// a command's --json.
func cmdDescribed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: described image2ipfs [SUBCOMMAND...]")
	}
	ts.Check(fits(strings.Join(args[1:], " "), ts.ReadFile("stdout")))
}

// fits compares what a command printed with its schema.
func fits(command, printed string) error {
	files, err := filepath.Glob(filepath.Join(schemaPath, "*.json"))
	if err != nil {
		return err
	}
	for _, file := range files {
		var s schema
		data, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(data, &s)
		}
		if err != nil {
			return err
		}
		if slices.Contains(s.Commands, command) || s.Option == command && command != "" {
			return validate(file, printed)
		}
	}
	return fmt.Errorf("no schema is for %q", command)
}

func validate(file, printed string) error {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	compiled, err := c.Compile(file)
	if err != nil {
		return err
	}
	out := json.NewDecoder(strings.NewReader(printed))
	out.UseNumber()
	for values := 0; out.More() || values == 0; values++ {
		var v any
		if err := out.Decode(&v); err != nil {
			return err
		}
		if err := compiled.Validate(v); err != nil {
			return err
		}
	}
	return nil
}

// schemaPath is schemaDir for scripts, which run elsewhere.
var schemaPath = must(filepath.Abs(schemaDir))
