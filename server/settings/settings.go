// Package settings gives the flags of a command that its command line leaves out
// from the environment and from a file in TOML (toml.io, v1.0.0).
package settings

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/pflag"

	"github.com/image2ipfs/image2ipfs/internal/input"
	"github.com/image2ipfs/image2ipfs/internal/redact"
)

// ErrSetting is matched by errors about what a file or a variable says.
var ErrSetting = errors.New("invalid setting")

// Origin tells where a flag's value is from.
type Origin string

// Each of these is stronger than those before it.
const (
	FromDefault     Origin = "default"
	FromFile        Origin = "file"
	FromEnvironment Origin = "environment"
	FromCommandLine Origin = "command line"
)

// Prefix begins the variables of a command: Prefix("serve") + "ADDR" is that of
// the flag --addr of serve.
func Prefix(command string) string { return "IMAGE2IPFS_" + envName(command) + "_" }

// Variable is the environment variable of a flag of a command.
func Variable(command, flag string) string { return Prefix(command) + envName(flag) }

func envName(s string) string { return strings.ToUpper(strings.ReplaceAll(s, "-", "_")) }

// Apply sets the flags of a command that were not given: from the environment,
// else from the file unless its path is "". It tells where the value of each flag
// is from. The flags that except names have no setting. Nothing else may be in the
// file. A variable that is empty is none; one that is "" or [] in so many characters is
// empty text or an empty list, as these are in a file. Errors match [ErrSetting].
func Apply(ctx context.Context, command string, flags *pflag.FlagSet, file string, except ...string) (map[string]Origin, error) {
	read, err := readFile(ctx, file)
	if err != nil {
		return nil, err
	}
	origins := map[string]Origin{}
	var wrong []error
	flags.VisitAll(func(f *pflag.Flag) {
		if slices.Contains(except, f.Name) {
			return
		}
		text := os.Getenv(Variable(command, f.Name)) // an empty variable is none
		value, written := read[f.Name]
		delete(read, f.Name)
		origins[f.Name] = FromDefault
		switch {
		case f.Changed:
			origins[f.Name] = FromCommandLine
		case text != "":
			origins[f.Name] = FromEnvironment
			if err := setVariable(flags, f, text); err != nil {
				wrong = append(wrong, fmt.Errorf("%w: $%s: %w", ErrSetting, Variable(command, f.Name), reason(err)))
			}
		case written:
			origins[f.Name] = FromFile
			if err := assign(flags, f, value); err != nil {
				wrong = append(wrong, fmt.Errorf("%w: %s: %s: %w", ErrSetting, file, f.Name, reason(err)))
			}
		}
	})
	for _, name := range slices.Sorted(maps.Keys(read)) {
		wrong = append(wrong, fmt.Errorf("%w: %s: there is no setting %q", ErrSetting, file, name))
	}
	return origins, errors.Join(wrong...)
}

// maxFile is how large a file with settings may be, in bytes.
const maxFile = 8 << 20

// setVariable gives a flag what a variable says.
func setVariable(flags *pflag.FlagSet, f *pflag.Flag, text string) error {
	_, several := f.Value.(pflag.SliceValue)
	switch {
	case several && (text == "[]" || text == `""`):
		return assign(flags, f, []any{})
	case text == `""`:
		text = ""
	}
	return flags.Set(f.Name, text)
}

// readFile reads the settings of a file, by name.
func readFile(ctx context.Context, file string) (map[string]any, error) {
	read := map[string]any{}
	if file == "" {
		return read, nil
	}
	data, err := input.ReadFile(ctx, file, maxFile)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSetting, err)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // the mark that some editors begin a file with
	if err := toml.Unmarshal(data, &read); err != nil {
		if at, ok := errors.AsType[*toml.DecodeError](err); ok {
			line, column := at.Position()
			return nil, fmt.Errorf("%w: %s, line %d, column %d: %s", ErrSetting, file, line, column, strings.TrimPrefix(at.Error(), "toml: "))
		}
		return nil, fmt.Errorf("%w: %s: %w", ErrSetting, file, err)
	}
	return read, nil
}

// assign gives a flag what a file says, which has to be of the flag's kind: a list
// for one that may be given several times, true or false, a number, or text.
func assign(flags *pflag.FlagSet, f *pflag.Flag, value any) error {
	list, several := f.Value.(pflag.SliceValue)
	switch v := value.(type) {
	case []any:
		if !several {
			return errors.New("is a list, and can be given once only")
		}
		texts := make([]string, 0, len(v))
		for _, one := range v {
			text, ok := one.(string)
			if !ok {
				return fmt.Errorf("has %v in its list, expected text in quotes", one)
			}
			texts = append(texts, text)
		}
		if err := list.Replace(texts); err != nil {
			return err
		}
		f.Changed = true
		return nil
	case string:
		if f.Value.Type() == "bool" {
			return fmt.Errorf("is the text %q, expected true or false", v)
		}
		if several {
			return assign(flags, f, []any{v})
		}
		return flags.Set(f.Name, v)
	case bool:
		if f.Value.Type() != "bool" {
			return fmt.Errorf("is %t, expected %s", v, kind(f.Value.Type()))
		}
		return flags.Set(f.Name, fmt.Sprint(v))
	case int64:
		if f.Value.Type() == "string" || f.Value.Type() == "bool" || several {
			return fmt.Errorf("is the number %d, expected %s", v, kind(f.Value.Type()))
		}
		return flags.Set(f.Name, fmt.Sprint(v))
	}
	return fmt.Errorf("is %v: expected text in quotes, true or false, a number or a list", value)
}

// reason is why a flag does not take a value, without the flag's name.
func reason(err error) error {
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return fmt.Errorf("%q: %w", invalid.GetValue(), expected(invalid.GetFlag(), invalid.Unwrap()))
	}
	return err
}

// Refused is an error of pflag about a value that a flag of the command line does not take
// in the words of this program, or any other as it is.
func Refused(err error) error {
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return fmt.Errorf("--%s: %w", invalid.GetFlag().Name, reason(err))
	}
	return err
}

// expected says what a flag takes where the error is one of Go's own parsers.
func expected(f *pflag.Flag, err error) error {
	switch kind := kind(f.Value.Type()); kind {
	case "bool":
		return errors.New("expected true or false")
	case "number":
		return errors.New("expected a whole number")
	case "duration":
		return errors.New("expected a time such as 90s, 5m or 168h")
	case "list":
		if _, ok := errors.AsType[*csv.ParseError](err); ok {
			return errors.New("a quotation mark stands alone: commas part values, and one with a comma in it is written between two of them")
		}
	}
	return err
}

// Setting is one of a command's settings.
type Setting struct {
	Name     string `json:"setting"`  // in the file, and that of the flag
	Variable string `json:"variable"` // of the environment
	Kind     string `json:"kind"`     // text, list, bool, number, duration, or what else the flag calls it
	Value    string `json:"value"`    // without users and passwords of URLs, and what URLs ask for
	From     Origin `json:"from"`
	Meaning  string `json:"meaning"`
}

// List describes the settings that [Apply] told the origins of, by name.
func List(command string, flags *pflag.FlagSet, from map[string]Origin) (all []Setting) {
	flags.VisitAll(func(f *pflag.Flag) {
		if origin, ok := from[f.Name]; ok {
			all = append(all, Setting{f.Name, Variable(command, f.Name), kind(f.Value.Type()), shown(f), origin, f.Usage})
		}
	})
	return all
}

// urls are the settings that are URLs, also where one lacks its scheme, and hooks those
// whose path may be a token.
var (
	urls  = []string{"api", "gateway", "routing", "source"}
	hooks = []string{"events"}
)

// shown is a flag's value without what is secret in URLs.
func shown(f *pflag.Flag) string {
	text := f.Value.String()
	list, several := f.Value.(pflag.SliceValue)
	switch {
	case slices.Contains(hooks, f.Name):
		return redact.Hook(text)
	case several && slices.Contains(urls, f.Name):
		values := list.GetSlice()
		for i, one := range values {
			if !strings.Contains(one, "://") {
				values[i] = redact.URL(one)
			}
		}
		var line strings.Builder
		w := csv.NewWriter(&line) // as pflag has it
		_ = w.Write(values)       // into a builder
		w.Flush()
		return redact.Text("[" + strings.TrimSuffix(line.String(), "\n") + "]")
	case slices.Contains(urls, f.Name), !several && strings.Contains(text, "://"):
		return redact.URL(text)
	}
	return redact.Text(text)
}

// kind is what a flag's type is called in the file.
func kind(flagType string) string {
	switch flagType {
	case "string":
		return "text"
	case "stringSlice", "stringArray":
		return "list"
	case "int", "int64":
		return "number"
	}
	return flagType
}

// Example is a file with every setting and its value, each in a comment with what
// it means.
func Example(all []Setting) string {
	var text strings.Builder
	for _, s := range all {
		value := fmt.Sprintf("%q", s.Value)
		switch s.Kind {
		case "bool", "number":
			value = s.Value
		case "list":
			value = "[" + strings.Trim(s.Value, "[]") + "]"
		}
		fmt.Fprintf(&text, "# %s\n# %s = %s\n\n", s.Meaning, s.Name, value)
	}
	return text.String()
}

// Strangers are the variables that look like a command's settings and are none,
// sorted: misspelt ones, and those that Kubernetes makes of services' names.
func Strangers(command string, flags *pflag.FlagSet) (names []string) {
	known := map[string]bool{}
	flags.VisitAll(func(f *pflag.Flag) { known[Variable(command, f.Name)] = true })
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, Prefix(command)) && value != "" && !known[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
