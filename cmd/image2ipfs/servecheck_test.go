package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// wrongSettings are files that serve refuses by what is written in them, by a flag of each;
// TAKEN is an address where another program listens.
var wrongSettings = map[string][]string{
	"access-log": {`access-log = "perhaps"`}, "catalog": {`catalog = 1`}, "debug": {`debug = ""`}, "mdns": {`mdns = "x"`}, "no-redirect": {`no-redirect = "x"`},
	"open": {`open = "x"`}, "public": {`public = "x"`, "public = true\nswarm-key = \"/none\""},
	"addr":     {`addr = ""`, `addr = "nonsense"`, `addr = "127.0.0.1:999999"`, `addr = "127.0.0.1:nonsense"`, `addr = "http://127.0.0.1:5000"`, `addr = "a b:5000"`, `addr = 5000`},
	"api":      {`api = "x"`, `api = "ftp://127.0.0.1"`, `api = "/ip4/127.0.0.1/udp/5001"`},
	"api-auth": {`api-auth = "basic:x"`, `api-auth = "negotiate:x"`},
	"metrics":  {"addr = \"TAKEN\"\nmetrics = \"TAKEN\"", "addr = \":5000\"\nmetrics = \"127.0.0.1:5000\"", `metrics = "x"`},
	"push": {"addr = \"TAKEN\"\npush = \"TAKEN\"", "push = \"127.0.0.1:5001\"\nmetrics = \"127.0.0.1:5001\"", "addr = \"127.0.0.1:5001\"\npush = \"0.0.0.0:5001\"\ninsecure-anyone-may-push = true",
		`push = "x"`, `push = ":5001"`, `push = "192.0.2.1:5001"`},
	"tls-cert": {`tls-cert = "cert.pem"`}, "tls-key": {`tls-key = "key.pem"`},
	"push-tls-cert":            {"push = \"127.0.0.1:5001\"\npush-tls-cert = \"cert.pem\"", "push-tls-cert = \"cert.pem\"\npush-tls-key = \"key.pem\""},
	"push-tls-key":             {"push = \"127.0.0.1:5001\"\npush-tls-key = \"cert.pem\""},
	"htpasswd":                 {`htpasswd = "users"`, "push = \":5001\"\nhtpasswd = \"users\""},
	"auth-read":                {`auth-read = true`, "auth-read = true\nhtpasswd = \"users\"\naddr = \":5000\""},
	"insecure-anyone-may-push": {`insecure-anyone-may-push = true`},
	"recompress":               {`recompress = true`},
	"keep-history":             {`keep-history = -1`, `keep-history = "x"`},
	"memory":                   {`memory = "1KiB"`, `memory = "x"`},
	"cache-size":               {`cache-size = "-1"`},
	"proxy-from":               {`proxy-from = ["x"]`, `proxy-from = ["10.0.0.0"]`},
	"host":                     {`host = ["http://x"]`, `host = ["x:5000"]`, `host = [""]`},
	"registry":                 {"push = \"127.0.0.1:5001\"\nregistry = \"http://x/y z\"", `registry = "x"`},
	"events":                   {"push = \"127.0.0.1:5001\"\nevents = \"ftp://x\"", `events = "/events"`},
	"name":                     {"push = \"127.0.0.1:5001\"\nname = [\"x\"]", `name = ["key=app"]`},
	"gateway":                  {`gateway = ["not a url"]`, `gateway = ["ftp://x"]`},
	"source":                   {`source = ["ftp://x"]`},
	"peers":                    {`peers = ["x"]`, `peers = ["/ip4/192.0.2.1/tcp/4001"]`, `peers = ["dns:"]`},
	"bootstrap":                {`bootstrap = ["x"]`},
	"routing":                  {`routing = ["x"]`},
	"swarm-listen":             {`swarm-listen = ["x"]`, "swarm-listen = [\"/ip4/0.0.0.0/udp/4001/quic-v1\"]\nswarm-key = \"/none\""},
	"swarm-key":                {`swarm-key = "/none"`},
	"allow":                    {"allow = [\"/none\"]\nmdns = true"},
	"pinned":                   {"pinned = true\nmdns = true"},
	"dns":                      {`dns = "x"`, `dns = ":53"`, `dns = "192.0.2.53"`},
	"dnslink":                  {`dnslink = ["http://x"]`},
	"gc":                       {`gc = "x"`, `gc = "1s"`, `gc = "25:00"`},
	"gc-unused":                {`gc-unused = "30d"`, "gc = \"24h\"\ngc-unused = \"x\""},
	"gc-limit":                 {`gc-limit = "1GB"`, "gc = \"24h\"\ngc-limit = \"x\""},
	"scrub":                    {`scrub = "x"`, `scrub = "0MiB/s"`, `scrub = "1s"`},
	"log-format":               {`log-format = "xml"`, `log-format = ""`},
}

// Any text may be the path of a file with keys; it is read when the server starts.
var neverWrong = []string{"require-signature"}

// What serve refuses by what is written, config check and a reload refuse, too; and serve does
// so as wrong usage before it opens its store or finds an address in use.
func TestServeChecksWhatConfigChecks(t *testing.T) {
	for _, name := range []string{"IPFS_API", "IPFS_PATH", apiAuthEnv, gatewayEnv, eventsEnv} {
		t.Setenv(name, "")
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	newServe().Flags().VisitAll(func(f *pflag.Flag) {
		if slices.Contains(unset, f.Name) || slices.Contains(neverWrong, f.Name) {
			return
		}
		if len(wrongSettings[f.Name]) == 0 {
			t.Errorf("there is no wrong value of --%s: add one, so that serve, config check and reload are tried with it", f.Name)
		}
		for _, text := range wrongSettings[f.Name] {
			t.Run(f.Name, func(t *testing.T) {
				refuseSettings(t, strings.ReplaceAll(text, "TAKEN", taken.Addr().String()), taken.Addr().String())
			})
		}
	})
}

// refuseSettings has a file refused by all that read it.
func refuseSettings(t *testing.T, text, taken string) {
	dir := t.TempDir()
	file, store := filepath.Join(dir, "serve.toml"), filepath.Join(dir, "store")
	t.Setenv("IMAGE2IPFS_PATH", store)
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	opts := &serveOptions{}
	cmd := newServeOf(opts)
	if err := cmd.ParseFlags([]string{"--config", file}); err != nil {
		t.Fatal(err)
	}
	if err := opts.configured(cmd); err != nil {
		t.Fatal(err)
	}
	write(text)
	if _, _, err := opts.again(cmd); exitCode(err) != exitUsage {
		t.Errorf("a reload of %q says %v", text, err)
	}
	if !strings.Contains(text, "addr =") {
		text = "addr = \"" + taken + "\"\n" + text
		write(text)
	}
	for _, args := range [][]string{{"config", "check", file}, {"serve", "--config", file}} {
		ctx, stop := context.WithTimeout(t.Context(), time.Minute) // for a serve that starts
		defer stop()
		cmd := newRoot(io.Discard, io.Discard)
		cmd.SetArgs(args)
		if err := cmd.ExecuteContext(ctx); exitCode(err) != exitUsage || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s with %q says %v", args[0], text, err)
		}
	}
	if _, err := os.Stat(store); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%q is refused after the store was opened: %v", text, err)
	}
}

// Settings that go together, or could, are taken.
func TestSettingsThatAreRight(t *testing.T) {
	for _, text := range []string{
		``, "addr = \"127.0.0.1:0\"\npush = \"127.0.0.1:0\"", "addr = \"127.0.0.1:5000\"\nmetrics = \"192.0.2.1:5000\"", `addr = "[::1]:5000"`, `addr = "registry.local:http"`,
		"push = \":5001\"\nhtpasswd = \"users\"\ntls-cert = \"c\"\ntls-key = \"k\"", "push = \"localhost:5001\"", "push = \"127.0.0.1:5001\"\nregistry = \"https://images.example/\"",
		`host = ["registry", "192.0.2.1", "Registry.local."]`, `dns = "[2001:db8::53]:53"`, `gc = ""`, `gc = "off"`, `gc-unused = ""`, `scrub = ""`, `api-auth = "token"`, `api-auth = "@/none"`,
	} {
		file := filepath.Join(t.TempDir(), "serve.toml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := newRoot(io.Discard, io.Discard)
		cmd.SetArgs([]string{"config", "check", file})
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Whoever takes the signs of comments from the settings of config example has the defaults,
// and a file that is right.
func TestExampleIsRight(t *testing.T) {
	t.Setenv(gatewayEnv, "")
	var example, listed strings.Builder
	cmd := newRoot(&example, io.Discard)
	cmd.SetArgs([]string{"config", "example"})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "serve.toml")
	text := regexp.MustCompile(`(?m)^# ([a-z-]+ = )`).ReplaceAllString(example.String(), "$1")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"config", "check", file}, {"config", "ls", file}} {
		cmd := newRoot(&listed, io.Discard)
		cmd.SetArgs(args)
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Fatalf("%s: %v in\n%s", args, err, text)
		}
	}
	for line := range strings.Lines(listed.String()) {
		if !strings.HasSuffix(line, " file\n") && !strings.HasPrefix(line, "SETTING") {
			t.Errorf("not of the file: %s", line)
		}
	}
	newServe().Flags().VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(unset, f.Name) && !regexp.MustCompile(`(?m)^`+f.Name+` +`+regexp.QuoteMeta(orDash(f.DefValue))+` +file$`).MatchString(listed.String()) {
			t.Errorf("%s is not %q: %s", f.Name, f.DefValue, listed.String())
		}
	})
}

// What a file switches on is switched off by what is stronger.
func TestSwitchedOff(t *testing.T) {
	file := filepath.Join(t.TempDir(), "serve.toml")
	if err := os.WriteFile(file, []byte("gc = \"24h\"\ngc-unused = \"30d\"\ngc-limit = \"5GB\"\nscrub = \"1MB/s\"\ngateway = [\"http://x\"]\npush = \"127.0.0.1:5001\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	line := []string{"--gc=", "--gc-unused=off", "--gc-limit=0", "--scrub=off", "--gateway=", "--push="}
	variables := map[string]string{"GC": "off", "GC_UNUSED": `""`, "GC_LIMIT": "0", "SCRUB": "off", "GATEWAY": "[]", "PUSH": `""`}
	for _, how := range []string{"flags", "variables"} {
		opts := &serveOptions{}
		cmd := newServeOf(opts)
		args := []string{"--config", file}
		if how == "flags" {
			args = append(args, line...)
		} else {
			for name, value := range variables {
				t.Setenv("IMAGE2IPFS_SERVE_"+name, value)
			}
		}
		if err := cmd.ParseFlags(args); err != nil {
			t.Fatal(err)
		}
		if err := opts.configured(cmd); err != nil {
			t.Fatal(err)
		}
		if opts.gc != (gcServeOptions{}) || opts.scrub != (scrubPace{}) || len(opts.gateways) > 0 || opts.push.addr != "" {
			t.Errorf("by %s: %+v, %+v, %q, %q", how, opts.gc, opts.scrub, opts.gateways, opts.push.addr)
		}
	}
}

// MB is a million bytes as in all that is printed, and MiB what it says; what is shown is
// the size that was given.
func TestSizes(t *testing.T) {
	for text, want := range map[string]struct {
		bytes int64
		shown string
	}{
		"2MB": {2_000_000, "2MB"}, "2MiB": {2 << 20, "2MiB"}, "2M": {2_000_000, "2MB"}, "2mib": {2 << 20, "2MiB"}, "10GiB": {10 << 30, "10GiB"}, "1.5 GB": {1_500_000_000, "1500MB"},
		"1kb": {1000, "1kB"}, "1024": {1024, "1KiB"}, "1000000": {1_000_000, "1MB"}, "7": {7, "7B"}, "0": {0, "0B"}, "1TB": {1_000_000_000_000, "1TB"},
	} {
		var size, again byteSize
		if err := size.Set(text); err != nil || int64(size) != want.bytes || size.String() != want.shown {
			t.Errorf("%q is %d (%s), %v; want %d (%s)", text, int64(size), &size, err, want.bytes, want.shown)
		}
		if err := again.Set(size.String()); err != nil || again != size {
			t.Errorf("%q is shown as %s, which is %d: %v", text, &size, int64(again), err)
		}
		var pace scrubPace
		if err := pace.Set(text + "/s"); want.bytes > 0 && (err != nil || pace.rate != want.bytes || pace.String() != want.shown+"/s") {
			t.Errorf("%s/s is %d (%s), %v", text, pace.rate, &pace, err)
		}
	}
	for _, text := range []string{"", "-1", "x", "1XB", "i", "off"} {
		if err := new(byteSize).Set(text); err == nil {
			t.Errorf("%q is a size", text)
		}
	}
}
