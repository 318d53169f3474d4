package main

// The command as its users call it: the scripts in testdata/, each with a
// store of its own. "go test -run TestScripts/NAME -v" shows one at work.

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/test/process"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"image2ipfs": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		Deadline:            time.Now().Add(20 * time.Minute), // for a command that hangs
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("IMAGE2IPFS_PATH", filepath.Join(env.WorkDir, "store"))
			env.Setenv("IMAGE2IPFS_SERVE_ADDR", "127.0.0.1:0") // another server may have the default port
			env.Setenv("GORACE", "atexit_sleep_ms=0")          // else each command takes a second under the race detector
			signed, err := filepath.Abs("../../trust/testdata")
			env.Setenv("SIGNED", signed) // archives that cosign signed, and keys
			return err
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"archive":   cmdArchive,
			"service":   cmdService,
			"exits":     cmdExits,
			"json":      cmdJSON,
			"port":      cmdPort,
			"await":     cmdAwait,
			"until":     cmdUntil,
			"get":       cmdGet,
			"sent":      cmdSent,
			"pull":      cmdPull,
			"push":      cmdPush,
			"truncate":  cmdTruncate,
			"spoil":     cmdSpoil,
			"setenv":    cmdSetenv,
			"described": cmdDescribed,
			"magic":     cmdMagic,
			"dns":       cmdDNS,
			"zone":      cmdZone,
		},
	})
}

// archive KIND FILE [NAME…] makes an archive; see kinds. Images are called app:1
// when no name is given.
func cmdArchive(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: archive KIND FILE [NAME...]")
	}
	makeIt, ok := kinds[args[0]]
	if !ok {
		ts.Fatalf("no such kind of archive: %s; there are %s", args[0], kindNames())
	}
	names := args[2:]
	if len(names) == 0 {
		names = []string{"app:1"}
	}
	ts.Check(writeArchive(ts.MkAbs(args[1]), makeIt(names)))
}

// exits CODE PROGRAM [ARG…] is exec for a program that must end with CODE.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	var exit *exec.ExitError
	got := 0
	if err = ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, expected %d", got, want)
	}
}

// json FILE PATH PATTERN matches a value of a JSON text, such as images.0.size.
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: [!] json FILE PATH PATTERN")
	}
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &v))
	for key := range strings.SplitSeq(args[1], ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(at) {
				ts.Fatalf("%s: no element %q of %d", args[1], key, len(at))
			}
			v = at[i]
		default:
			v = nil
		}
	}
	text, ok := v.(string)
	if !ok {
		text = string(marshal(v))
	}
	if regexp.MustCompile("^(?:"+args[2]+")$").MatchString(text) == neg {
		ts.Fatalf("%s is %s", args[1], text)
	}
}

// port VARIABLE [taken] finds an address on 127.0.0.1 on which nobody listens,
// or somebody for as long as the script runs.
func cmdPort(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) > 1 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		ts.Defer(func() { l.Close() })
		ts.Setenv(args[0], l.Addr().String())
		return
	}
	addr, err := process.FreeAddr()
	ts.Check(err)
	ts.Setenv(args[0], addr)
}

// patience is how long something may take that is waited for.
const patience = time.Minute

// await URL waits until a server answers there.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get(args[0]); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
	}
	ts.Fatalf("%s does not answer", args[0])
}

// until PROGRAM [ARG…] TEXT runs a program again and again until it prints the text;
// until URL TEXT asks a server.
func cmdUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PROGRAM [ARG...] TEXT")
	}
	last := len(args) - 1
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(20 * time.Millisecond) {
		if strings.HasPrefix(args[0], "http://") {
			if body, err := fetchText(args[0]); err == nil && strings.Contains(body, args[last]) {
				return
			}
			continue
		}
		if err := ts.Exec(args[0], args[1:last]...); err == nil && strings.Contains(ts.ReadFile("stdout")+ts.ReadFile("stderr"), args[last]) {
			return
		}
	}
	ts.Fatalf("%v does not print %q", args[:last], args[last])
}

func fetchText(url string) (string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// get URL prints a body and, on standard error, status and header. It follows
// no redirects.
func cmdGet(ts *testscript.TestScript, neg bool, args []string) {
	req, err := http.NewRequest(http.MethodGet, args[0], nil)
	ts.Check(err)
	login(req)
	req.Header.Set("Accept", "*/*")
	resp, err := http.DefaultTransport.RoundTrip(req)
	ts.Check(err)
	printAnswer(ts, resp)
	if ok := resp.StatusCode < 300; ok == neg {
		ts.Fatalf("GET %s: %s", args[0], resp.Status)
	}
}

// sent URL is get, again and again until whoever asks is sent elsewhere: a server that
// has a blob waits for its gateway no longer than a moment.
func cmdSent(ts *testscript.TestScript, neg bool, args []string) {
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(20 * time.Millisecond) {
		req, err := http.NewRequest(http.MethodGet, args[0], nil)
		ts.Check(err)
		resp, err := http.DefaultTransport.RoundTrip(req)
		ts.Check(err)
		if resp.StatusCode == http.StatusTemporaryRedirect {
			printAnswer(ts, resp)
			return
		}
		ts.Check(resp.Body.Close())
	}
	ts.Fatalf("%s sends nobody elsewhere", args[0])
}

// printAnswer prints a body and, on standard error, status and header.
func printAnswer(ts *testscript.TestScript, resp *http.Response) {
	defer resp.Body.Close()
	fmt.Fprintln(ts.Stderr(), resp.Status)
	ts.Check(resp.Header.Write(ts.Stderr()))
	_, err := io.Copy(ts.Stdout(), resp.Body)
	ts.Check(err)
}

var digests = regexp.MustCompile(`"digest":"(sha256:[0-9a-f]{64})"`)

// pull FILE pulls every pull name in the lines of a file as engines do, and
// checks all digests.
func cmdPull(ts *testscript.TestScript, neg bool, args []string) {
	lines := strings.Fields(ts.ReadFile(args[0]))
	if len(lines) == 0 {
		ts.Fatalf("no pull names in %s", args[0])
	}
	for _, line := range lines {
		host, rest, _ := strings.Cut(line, "/")
		repository, reference, pinned := strings.Cut(rest, "@")
		if !pinned {
			var tagged bool
			if repository, reference, tagged = ref.CutTag(rest); !tagged {
				reference = "latest"
			}
		}
		pullManifest(ts, "http://"+host+"/v2/"+repository, reference)
	}
}

func pullManifest(ts *testscript.TestScript, base, reference string) {
	body, header := fetch(ts, base+"/manifests/"+reference)
	if got, want := header.Get("Docker-Content-Digest"), sha256Of(body); got != want {
		ts.Fatalf("%s/manifests/%s: Docker-Content-Digest %s, content %s", base, reference, got, want)
	}
	isIndex := strings.Contains(header.Get("Content-Type"), "index")
	for _, match := range digests.FindAllSubmatch(body, -1) {
		digest := string(match[1])
		if isIndex {
			pullManifest(ts, base, digest)
		} else if blob, _ := fetch(ts, base+"/blobs/"+digest); sha256Of(blob) != digest {
			ts.Fatalf("%s/blobs/%s has content %s", base, digest, sha256Of(blob))
		}
	}
}

func fetch(ts *testscript.TestScript, url string) ([]byte, http.Header) {
	resp, err := http.Get(url)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if resp.StatusCode != http.StatusOK {
		ts.Fatalf("GET %s: %s\n%s", url, resp.Status, body)
	}
	return body, resp.Header
}

func sha256Of(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

// truncate FILE N cuts N bytes off the end of a file.
func cmdTruncate(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	file := ts.MkAbs(args[0])
	info, err := os.Stat(file)
	ts.Check(err)
	ts.Check(os.Truncate(file, info.Size()-n))
}

// spoil DIRECTORY TEXT changes the text's first letter wherever it stands in
// the files of a directory, as a bad disk would.
func cmdSpoil(ts *testscript.TestScript, neg bool, args []string) {
	files, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "*"))
	ts.Check(err)
	found := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		ts.Check(err)
		if n := strings.Count(string(data), args[1]); n > 0 {
			found += n
			spoilt := strings.ReplaceAll(string(data), args[1], "#"+args[1][1:])
			ts.Check(os.WriteFile(file, []byte(spoilt), 0o600))
		}
	}
	if found == 0 {
		ts.Fatalf("%q is in no file of %s", args[1], args[0])
	}
}

// magic FILE TEXT writes a file that begins with the text, in which \xNN is a
// byte.
func cmdMagic(ts *testscript.TestScript, neg bool, args []string) {
	text, err := strconv.Unquote(`"` + args[1] + `"`)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), append([]byte(text), noise(1000)...), 0o644))
}

// setenv VARIABLE FILE [PATTERN] sets a variable to a file's content, or to the
// first group of the pattern in it.
func cmdSetenv(ts *testscript.TestScript, neg bool, args []string) {
	text := strings.TrimSpace(ts.ReadFile(args[1]))
	if len(args) > 2 {
		match := regexp.MustCompile(args[2]).FindStringSubmatch(text)
		if match == nil {
			ts.Fatalf("no %s in %s", args[2], text)
		}
		text = match[1]
	}
	ts.Setenv(args[0], text)
}

// Whoever presses Ctrl-C must get the prompt back, and a code that scripts can
// tell from a failure.
func TestInterruptedWhileReadingAPipe(t *testing.T) {
	cmd := exec.Command("image2ipfs")
	cmd.Env = append(os.Environ(), "IMAGE2IPFS_PATH="+t.TempDir(), "IPFS_API=", "IPFS_PATH=")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// More than fits into a pipe: once it is written the command reads, and
	// handles signals.
	tw := tar.NewWriter(in)
	if err := tw.WriteHeader(&tar.Header{Name: "layer.tar", Size: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	if _, err := tw.Write(noise(300_000)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer stuck.Stop()
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Errorf("ended with %v, expected exit code %d; standard error: %s", err, exitInterrupted, stderr.String())
	}
}
