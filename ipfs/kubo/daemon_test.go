package kubo

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// daemon is a Kubo on loopback, cut off from the network, with a repository
// of its own.
type daemon struct {
	bin, repo    string
	api, gateway string
	cmd          *exec.Cmd
	stop         sync.Once
}

// startKubo runs the Kubo of $KUBO_BIN, or of PATH; the test is skipped when
// there is none.
func startKubo(t testing.TB) *daemon {
	t.Helper()
	bin := os.Getenv("KUBO_BIN")
	if bin == "" {
		bin = "ipfs"
	}
	path, err := exec.LookPath(bin)
	if err != nil {
		t.Skipf("no Kubo to test against: %v; set KUBO_BIN to an ipfs binary, `make test` builds one", err)
	}
	d := &daemon{bin: path, repo: t.TempDir()}
	d.ipfs(t, "init", "--empty-repo", "--profile=test")
	for key, value := range map[string]any{
		"Addresses.API":    "/ip4/127.0.0.1/tcp/0",
		"Addresses.Swarm":  []string{},
		"Routing.Type":     "none",
		"AutoConf.Enabled": false,
		"Bootstrap":        []string{},
	} {
		d.configure(t, key, value)
	}
	const tries = 5
	for range tries {
		port := freePort(t)
		d.gateway = fmt.Sprintf("http://127.0.0.1:%d", port)
		d.configure(t, "Addresses.Gateway", fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port))
		if said := d.start(t); said == "" {
			return d
		} else if !strings.Contains(said, "address already in use") { // by the daemon's own API, for one
			t.Fatalf("Kubo does not start:\n%s", said)
		}
		d.kill()
		d.stop = sync.Once{}
	}
	t.Fatalf("Kubo found its gateway's port taken %d times", tries)
	return nil
}

func (d *daemon) configure(t testing.TB, key string, value any) {
	t.Helper()
	v, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	d.ipfs(t, "config", "--json", key, string(v))
}

// start runs the daemon and waits until it says that it is ready; otherwise it
// gives what the daemon said instead.
func (d *daemon) start(t testing.TB) (complaint string) {
	t.Helper()
	d.cmd = exec.Command(d.bin, "daemon")
	d.cmd.Env = d.env()
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.cmd.Stderr = d.cmd.Stdout
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.kill)
	var said strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		fmt.Fprintln(&said, lines.Text())
		if strings.Contains(lines.Text(), "Daemon is ready") {
			go func() {
				for lines.Scan() { // so that it never blocks on its output
				}
			}()
			api, err := os.ReadFile(filepath.Join(d.repo, "api"))
			if err != nil {
				t.Fatal(err)
			}
			d.api = strings.TrimSpace(string(api))
			return ""
		}
	}
	return said.String()
}

// kill ends the daemon as a crash would.
func (d *daemon) kill() {
	d.stop.Do(func() {
		d.cmd.Process.Kill()
		d.cmd.Process.Wait()
	})
}

// restart crashes the daemon and starts it again.
func (d *daemon) restart(t testing.TB) {
	t.Helper()
	d.kill()
	d.stop = sync.Once{}
	if said := d.start(t); said != "" {
		t.Fatalf("Kubo does not start again:\n%s", said)
	}
}

func (d *daemon) env() []string {
	return append(os.Environ(), "IPFS_PATH="+d.repo, "IPFS_TELEMETRY=off")
}

// ipfs runs a command of Kubo's and gives its standard output.
func (d *daemon) ipfs(t testing.TB, args ...string) string {
	t.Helper()
	out, err := d.try(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (d *daemon) try(args ...string) (string, error) {
	cmd := exec.Command(d.bin, args...)
	cmd.Env = d.env()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("ipfs %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out), nil
}

// pins lists the recursive pins with their names, but for the empty directory
// that Kubo itself pins.
func (d *daemon) pins(t testing.TB) string {
	t.Helper()
	const empty = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn recursive\n"
	return strings.Replace(d.ipfs(t, "pin", "ls", "--type=recursive", "--names"), empty, "", 1)
}

// store connects to the daemon.
func (d *daemon) store(t testing.TB) *Store {
	t.Helper()
	e, err := Dial(t.Context(), d.api, Credentials{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// eventually waits for a condition that another process brings about.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-tick.C {
		if is() {
			return
		}
	}
	t.Fatalf("waited 30 s in vain: %s", what)
}

// publish puts a file in a directory and commits it as a layout named names.
func publish(t testing.TB, e *Store, content string, names ...string) (ipfs.Root, ipfs.Stats) {
	t.Helper()
	tx, err := e.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Abort()
	root := ipfs.Root{CID: putTree(t, tx, content).CID, Names: names}
	stats, err := tx.Commit(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	return root, stats
}

// putTree puts a directory with one file.
func putTree(t testing.TB, p ipfs.Putter, content string) ipfs.Link {
	t.Helper()
	f, err := ipfs.AddFile(t.Context(), p, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := ipfs.AddDirectory(t.Context(), p, map[string]ipfs.Link{"file": f})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
