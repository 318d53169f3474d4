package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/image2ipfs/image2ipfs/server/settings"
)

// samples are values of serve's flags, others than their defaults; bools and lists have one
// by their kind.
var samples = map[string]string{
	"addr": "127.0.0.1:5005", "api": "http://127.0.0.1:5009", "api-auth": "bearer:secret", "cache-size": "3GiB", "dns": "192.0.2.1",
	"events": "/var/log/events", "gc": "03:30", "gc-limit": "5GiB", "gc-unused": "30d", "htpasswd": "/etc/htpasswd", "keep-history": "4",
	"log-format": "json", "memory": "1GiB", "metrics": "127.0.0.1:9100", "push": "127.0.0.1:5001", "push-tls-cert": "/etc/push.pem",
	"push-tls-key": "/etc/push.key", "registry": "images.example", "scrub": "168h", "swarm-key": "/etc/swarm.key", "tls-cert": "/etc/cert.pem", "tls-key": "/etc/key.pem",
}

// flagSample is a flag's sample in the three ways in which it can be given.
type flagSample struct{ line, variable, file string }

func sampleOf(t *testing.T, f *pflag.Flag) flagSample {
	t.Helper()
	switch f.Value.Type() {
	case "bool":
		value := fmt.Sprint(f.DefValue == "false")
		return flagSample{value, value, value}
	case "stringSlice":
		return flagSample{"10.0.0.0/8,one=two", "10.0.0.0/8,one=two", `["10.0.0.0/8", "one=two"]`}
	case "int":
		return flagSample{samples[f.Name], samples[f.Name], samples[f.Name]}
	}
	if samples[f.Name] == "" {
		t.Fatalf("there is no sample of --%s (%s): add one, so that it is tried in a file and in the environment", f.Name, f.Value.Type())
	}
	return flagSample{samples[f.Name], samples[f.Name], fmt.Sprintf("%q", samples[f.Name])}
}

// Every flag of serve can be given on the command line, by its variable and in a file, with
// the same effect, and each is stronger than the next.
func TestEveryFlagInEachWay(t *testing.T) {
	var all []string
	newServe().Flags().VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(unset, f.Name) {
			all = append(all, f.Name)
		}
	})
	if len(all) < 40 {
		t.Fatalf("serve has %d flags", len(all))
	}
	for _, name := range all {
		t.Run(name, func(t *testing.T) {
			sample := sampleOf(t, newServe().Flags().Lookup(name))
			byLine := given(t, name, "", sample.line, "")
			if byLine.Value.String() == byLine.DefValue {
				t.Fatalf("the sample %q is the default", sample.line)
			}
			for how, f := range map[string]*pflag.Flag{"the variable": given(t, name, sample.variable, "", ""), "a file": given(t, name, "", "", sample.file)} {
				if got, want := f.Value.String(), byLine.Value.String(); got != want || !f.Changed {
					t.Errorf("by %s it is %q, by the command line %q", how, got, want)
				}
			}
			other := byLine.DefValue // which is as good as given where it is written down
			if f := given(t, name, sample.variable, "", fileValue(byLine, other)); f.Value.String() != byLine.Value.String() {
				t.Errorf("a file is stronger than the variable: %q", f.Value)
			}
			if f := given(t, name, "no value of anything", sample.line, ""); f.Value.String() != byLine.Value.String() {
				t.Errorf("the variable is stronger than the command line: %q", f.Value)
			}
		})
	}
}

// fileValue is a value as a file has it.
func fileValue(f *pflag.Flag, value string) string {
	switch f.Value.Type() {
	case "bool", "int":
		return value
	case "stringSlice":
		return "[]"
	}
	if value == "" { // those that are none when they are not given
		value = samples[f.Name]
	}
	return fmt.Sprintf("%q", value)
}

// given gives a flag of serve in some of the ways, each unless it is "".
func given(t *testing.T, name, variable, line, file string) *pflag.Flag {
	t.Helper()
	key := settings.Variable("serve", name)
	if err := os.Unsetenv(key); err != nil {
		t.Fatal(err)
	}
	if variable != "" {
		t.Setenv(key, variable)
	}
	path := ""
	if file != "" {
		path = filepath.Join(t.TempDir(), "serve.toml")
		if err := os.WriteFile(path, []byte(name+" = "+file+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := newServe()
	if line != "" {
		if err := cmd.ParseFlags([]string{"--" + name + "=" + line}); err != nil {
			t.Fatal(err)
		}
	}
	from, err := settings.Apply(t.Context(), "serve", cmd.Flags(), path, unset...)
	if err != nil {
		t.Fatal(err)
	}
	want := settings.FromFile
	switch {
	case line != "":
		want = settings.FromCommandLine
	case variable != "":
		want = settings.FromEnvironment
	}
	if from[name] != want {
		t.Errorf("it is said to be from the %s, and is from the %s", from[name], want)
	}
	return cmd.Flags().Lookup(name)
}

// The reference lists each of them.
func TestEveryFlagIsListed(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	newServe().Flags().VisitAll(func(f *pflag.Flag) {
		if row := fmt.Sprintf("| `%s` | `%s` |", f.Name, settings.Variable("serve", f.Name)); !slices.Contains(unset, f.Name) && !strings.Contains(string(page), row) {
			t.Errorf("docs/reference/settings.md lacks %s", row)
		}
	})
}
