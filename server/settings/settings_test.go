package settings

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// flags are one of each kind.
func flags(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	f := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	f.String("addr", ":5000", "")
	f.StringSlice("gateway", []string{"given by nobody"}, "")
	f.Bool("no-redirect", false, "")
	f.Int("streams", 7, "")
	f.Duration("ttl", time.Minute, "")
	f.Bool("help", false, "")
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	return f
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "serve.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func values(f *pflag.FlagSet) map[string]string {
	all := map[string]string{}
	f.VisitAll(func(f *pflag.Flag) { all[f.Name] = f.Value.String() })
	return all
}

// The command line is stronger than the environment, and that than the file, for
// each setting alone.
func TestOrder(t *testing.T) {
	path := file(t, "addr = 'file:1'\ngateway = ['http://a', 'http://b,c']\nno-redirect = true\nstreams = 9\nttl = '3s'\n")
	t.Setenv("IMAGE2IPFS_SERVE_ADDR", "environment:1")
	t.Setenv("IMAGE2IPFS_SERVE_STREAMS", "8")
	f := flags(t, "--addr", "line:1")
	from, err := Apply(t.Context(), "serve", f, path, "help")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"addr": "line:1", "gateway": `[http://a,"http://b,c"]`, "no-redirect": "true", "streams": "8", "ttl": "3s", "help": "false"}
	if got := values(f); !reflect.DeepEqual(got, want) {
		t.Errorf("values %v, want %v", got, want)
	}
	origins := map[string]Origin{"addr": FromCommandLine, "gateway": FromFile, "no-redirect": FromFile, "streams": FromEnvironment, "ttl": FromFile}
	if !reflect.DeepEqual(from, origins) {
		t.Errorf("from %v, want %v", from, origins)
	}
	if !f.Changed("gateway") || !f.Changed("streams") {
		t.Error("what the file and the environment give is not as if it was given")
	}
}

func TestNothingIsSet(t *testing.T) {
	f := flags(t)
	from, err := Apply(t.Context(), "serve", f, "")
	if err != nil {
		t.Fatal(err)
	}
	if want := values(flags(t)); !reflect.DeepEqual(values(f), want) {
		t.Errorf("values %v, want %v", values(f), want)
	}
	for name, o := range from {
		if o != FromDefault {
			t.Errorf("%s is from the %s", name, o)
		}
	}
}

// All that is wrong is told at once, with the place.
func TestWrongSettings(t *testing.T) {
	for text, want := range map[string]string{
		"adr = 'x'":                `there is no setting "adr"`,
		"help = true":              `there is no setting "help"`,
		"addr = 5000":              "addr: is the number 5000, expected text",
		"addr = ['x']":             "addr: is a list, and can be given once only",
		"gateway = [1]":            "gateway: has 1 in its list, expected text in quotes",
		"gateway = 1":              "gateway: is the number 1, expected list",
		"no-redirect = 'yes'":      `no-redirect: is the text "yes", expected true or false`,
		"ttl = 'long'":             `ttl: "long": expected a time such as 90s`,
		"streams = 'many'":         `streams: "many": expected a whole number`,
		"ttl = true":               "ttl: is true, expected duration",
		"[addr]\nx = 1":            "addr: is map[x:1]: expected text in quotes",
		"addr = 'x'\nstreams = x":  "line 2, column 11",
		"addr = 'x'\naddr = 'y'":   "addr",
		"streams = 'x'\nttl = 'y'": "streams",
	} {
		_, err := Apply(t.Context(), "serve", flags(t), file(t, text), "help")
		if !errors.Is(err, ErrSetting) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "serve.toml") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := Apply(t.Context(), "serve", flags(t), file(t, "streams = 'x'\nttl = 'y'")); strings.Count(err.Error(), "serve.toml") != 2 {
		t.Errorf("two are wrong, told is %v", err)
	}
	if _, err := Apply(t.Context(), "serve", flags(t), filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) || !errors.Is(err, ErrSetting) {
		t.Errorf("no file: %v", err)
	}
	t.Setenv("IMAGE2IPFS_SERVE_TTL", "soon")
	if _, err := Apply(t.Context(), "serve", flags(t), ""); !errors.Is(err, ErrSetting) || !strings.Contains(err.Error(), "$IMAGE2IPFS_SERVE_TTL") {
		t.Errorf("a wrong variable: %v", err)
	}
}

// A file that an editor begins with a byte order mark is as good.
func TestByteOrderMark(t *testing.T) {
	f := flags(t)
	from, err := Apply(t.Context(), "serve", f, file(t, "\ufeffaddr = 'x:1'\n"), "help")
	if err != nil || from["addr"] != FromFile || f.Lookup("addr").Value.String() != "x:1" {
		t.Errorf("%v, %v", from, err)
	}
}

// No error about a value has words of Go in it, and none of a URL its password.
func TestRefused(t *testing.T) {
	for flag, value := range map[string]string{"no-redirect": "yes", "streams": "many", "ttl": "long", "gateway": `a"b`} {
		f := flags(t)
		err := Refused(f.Parse([]string{"--" + flag + "=" + value}))
		if err == nil || !strings.HasPrefix(err.Error(), "--"+flag+": ") || strings.Contains(err.Error(), "pars") || strings.Contains(err.Error(), "syntax") || strings.Contains(err.Error(), "invalid") {
			t.Errorf("--%s=%s: %v", flag, value, err)
		}
	}
	f := flags(t, "--gateway", "ann:secret@a", "--gateway", "http://ann:secret@b,http://c")
	from, err := Apply(t.Context(), "serve", f, "", "help")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range List("serve", f, from) {
		if want := "[xxxxx@a,http://xxxxx@b,http://c]"; s.Name == "gateway" && s.Value != want {
			t.Errorf("shown is %s, want %s", s.Value, want)
		}
	}
}

func TestStrangers(t *testing.T) {
	t.Setenv("IMAGE2IPFS_SERVE_ADR", "x")
	t.Setenv("IMAGE2IPFS_SERVE_NO_REDIRECT", "x")
	t.Setenv("IMAGE2IPFS_SERVICE_HOST", "x")
	if got := Strangers("serve", flags(t)); !reflect.DeepEqual(got, []string{"IMAGE2IPFS_SERVE_ADR"}) {
		t.Errorf("strangers %v", got)
	}
}

// Whoever takes an example and removes the comments' signs has the defaults.
func TestExample(t *testing.T) {
	f := flags(t)
	from, err := Apply(t.Context(), "serve", f, "", "help")
	if err != nil {
		t.Fatal(err)
	}
	f.Lookup("gateway").Value.(pflag.SliceValue).Replace(nil)
	text := Example(List("serve", f, from))
	g := flags(t)
	from, err = Apply(t.Context(), "serve", g, file(t, strings.ReplaceAll(text, "# ", "")[1:]), "help")
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	if !reflect.DeepEqual(values(g), values(f)) {
		t.Errorf("values %v, want %v", values(g), values(f))
	}
	for name, o := range from {
		if o != FromFile {
			t.Errorf("%s is from the %s", name, o)
		}
	}
}
