//go:build unix

package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/image2ipfs/image2ipfs/test/testlog"
)

// storeUser is whose the store of a service is in these tests.
const storeUser = 65532

// guest is a service's store, in which root runs commands.
type guest struct {
	*testing.T
	program, dir, store string
}

func newGuest(t *testing.T) *guest {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be in a store of another user")
	}
	self, err := exec.LookPath("image2ipfs")
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{T: t, dir: t.TempDir()}
	g.program, g.store = filepath.Join(g.dir, "image2ipfs"), filepath.Join(g.dir, "store")
	data, err := os.ReadFile(self) // where it lies only its owner may go
	if err == nil {
		err = os.WriteFile(g.program, data, 0o755)
	}
	for dir := g.dir; err == nil && dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		err = os.Chmod(dir, 0o755)
	}
	if err == nil {
		err = errors.Join(os.Mkdir(g.store, 0o700), os.Chown(g.store, storeUser, storeUser))
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := g.as(storeUser, "ls").CombinedOutput(); err != nil && errors.Is(err, fs.ErrPermission) {
		t.Skipf("another user cannot get at a temporary directory here: %v %s", err, out)
	}
	return g
}

// as is a command by a user.
func (g *guest) as(uid uint32, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(g.Context(), g.program, args...)
	cmd.Dir = g.dir
	cmd.Env = append(os.Environ(), "IMAGE2IPFS_PATH="+g.store, "HOME="+g.dir, "XDG_CONFIG_HOME=", "IPFS_API=", "IPFS_PATH=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	return cmd
}

// run is the output of a command that must succeed.
func (g *guest) run(uid uint32, args ...string) string {
	g.Helper()
	out, err := g.as(uid, args...).CombinedOutput()
	if err != nil {
		g.Fatalf("as %d: %q: %v: %s", uid, args, err, out)
	}
	return string(out)
}

func (g *guest) archive(name string) string {
	g.Helper()
	path := filepath.Join(g.dir, name+".tar")
	if err := writeArchive(path, kinds["docker-1.10"]([]string{name + ":1"})); err != nil {
		g.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		g.Fatal(err)
	}
	return path
}

// serve runs a server as the store's user, and gives its URL and log.
func (g *guest) serve(flags ...string) (url string, log *testlog.Log) {
	g.Helper()
	log = &testlog.Log{}
	cmd := g.as(storeUser, append([]string{"serve", "--addr", "127.0.0.1:0"}, flags...)...)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		g.Fatal(err)
	}
	g.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(20 * time.Millisecond) {
		if _, after, ok := strings.Cut(log.String(), "msg=serving addr="); ok {
			addr, _, _ := strings.Cut(after, " ")
			return "http://" + addr, log
		}
	}
	g.Fatalf("it does not serve: %s", log.String())
	return "", nil
}

func (g *guest) get(url string) (status int, body string) {
	g.Helper()
	resp, err := http.Get(url)
	if err != nil {
		g.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		g.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// What root makes in the store of a service belongs to the service's user, who goes on
// serving and publishing.
func TestRootInStoreOfAnother(t *testing.T) {
	g := newGuest(t)
	g.run(0, "publish", g.archive("first")) // into an empty directory
	url, _ := g.serve()
	for _, args := range [][]string{
		{"publish", g.archive("second")}, {"tag", "third:1", "second:1"}, {"id"}, {"name", "create", "site"}, {"doctor", "--server", url}, {"backup", filepath.Join(g.dir, "b.car")},
		{"untag", "third:1"}, {"gc"}, {"publish", g.archive("fourth")},
	} {
		if out, err := g.as(0, args...).CombinedOutput(); err != nil && args[0] != "doctor" { // which finds no engine here
			t.Errorf("%q: %v: %s", args, err, out)
		}
	}
	err := filepath.WalkDir(g.store, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if stat := info.Sys().(*syscall.Stat_t); stat.Uid != storeUser || stat.Gid != storeUser {
			t.Errorf("%s belongs to %d:%d", path, stat.Uid, stat.Gid)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"first", "second", "fourth"} {
		root := strings.TrimSpace(g.run(storeUser, "ref", "-f", "ciq", name+":1"))
		if status, body := g.get(url + "/v2/" + root + "/" + name + "/manifests/1"); status != http.StatusOK {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	g.run(storeUser, "publish", g.archive("fifth"))
	g.run(storeUser, "gc")
	g.run(storeUser, "name", "ls")
}

// What a server may not read of its own store is not absent: it says so, to clients, by
// its log and its health, with what is to be done.
func TestStoreThatMayNotBeRead(t *testing.T) {
	g := newGuest(t)
	for name, pattern := range map[string]string{"app": "index/*.idx", "other": "packs/*.car"} {
		url, log := g.serve()
		g.run(storeUser, "publish", g.archive(name)) // which the server has not opened yet
		root := strings.TrimSpace(g.run(storeUser, "ref", "-f", "ciq", name+":1"))
		files, err := filepath.Glob(filepath.Join(g.store, pattern))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		chown := func(id int) {
			for _, file := range files {
				if err := os.Chown(file, id, id); err != nil {
					t.Fatal(err)
				}
			}
		}
		chown(0)
		for _, path := range []string{"/v2/" + root + "/" + name + "/manifests/1", "/healthz"} {
			if status, body := g.get(url + path); status != http.StatusServiceUnavailable || !strings.Contains(body, "belongs to root") || !strings.Contains(body, "sudo chown -R 65532:65532") {
				t.Errorf("%s: %s: %d %s", pattern, path, status, body)
			}
		}
		waitFor(t, pattern+": an error is logged", func() bool { return strings.Contains(log.String(), "level=ERROR") })
		if out, err := g.as(storeUser, "health", "--server", url).CombinedOutput(); err == nil || !bytes.Contains(out, []byte("belongs to root")) {
			t.Errorf("%s: health: %v %s", pattern, err, out)
		}
		if out, err := g.as(storeUser, "serve", "--addr", "127.0.0.1:0").CombinedOutput(); err == nil || !bytes.Contains(out, []byte("sudo chown -R 65532:65532")) {
			t.Errorf("%s: serve: %v %s", pattern, err, out)
		}
		chown(storeUser)
	}
	if out, err := g.as(storeUser+1, "ls").CombinedOutput(); err == nil || !bytes.Contains(out, []byte("run it as 65532 (sudo -u '#65532' image2ipfs")) {
		t.Errorf("a third user: %v %s", err, out)
	}
}

// A server that takes pushes does not begin on a store that it cannot write, and one whose
// store becomes so says it.
func TestPushesIntoStoreThatMayNotBeWritten(t *testing.T) {
	g := newGuest(t)
	g.run(storeUser, "publish", g.archive("app"))
	url, _ := g.serve("--push", "127.0.0.1:0")
	tmp := filepath.Join(g.store, "tmp")
	if err := os.Chmod(tmp, 0o500); err != nil {
		t.Fatal(err)
	}
	if status, body := g.get(url + "/healthz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "takes nothing new") {
		t.Errorf("health: %d %s", status, body)
	}
	if out, err := g.as(storeUser, "serve", "--addr", "127.0.0.1:0", "--push", "127.0.0.1:0").CombinedOutput(); err == nil || !bytes.Contains(out, []byte("takes nothing new")) {
		t.Errorf("serve --push: %v %s", err, out)
	}
	url, _ = g.serve() // which only reads
	if status, body := g.get(url + "/healthz"); status != http.StatusOK {
		t.Errorf("health without pushes: %d %s", status, body)
	}
}
