//go:build unix

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/image2ipfs/image2ipfs/test/testlog"
)

// Sockets are given to a process of their own, as systemd does.
func TestSocketsOfSystemd(t *testing.T) {
	if names := os.Getenv("LISTEN_FDNAMES"); names != "" {
		t.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid())) // which systemd knows before it starts a process
		fmt.Println(takeSockets(t.Context()))
		return
	}
	for names, want := range map[string]string{
		"images:push:metrics": "images push metrics",
		"push:unknown":        "unknown push own",
		"metrics":             "own own metrics",
		"a:b":                 "expected one",
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSocketsOfSystemd$")
		cmd.Env = append(os.Environ(), "LISTEN_FDNAMES="+names, "LISTEN_FDS="+strconv.Itoa(strings.Count(names, ":")+1))
		var ports []string
		for _, name := range strings.Split(names, ":") {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			f, err := l.(*net.TCPListener).File()
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			cmd.ExtraFiles = append(cmd.ExtraFiles, f)
			ports = append(ports, l.Addr().String(), name)
		}
		out, err := cmd.CombinedOutput()
		got := regexp.MustCompile(`127\.0\.0\.1:[0-9]+`).ReplaceAllString(strings.NewReplacer(ports...).Replace(string(out)), "own")
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("%s: %v, %s, want %s", names, err, got, want)
		}
	}
}

// takeSockets tells which listener is on whose socket.
func takeSockets(ctx context.Context) string {
	o := serveOptions{addr: "127.0.0.1:0"}
	o.push.addr, o.access.metrics = "127.0.0.1:00", "127.0.0.1:000" // others, as they have to be
	given, err := openSockets()
	if err != nil {
		return err.Error()
	}
	l, err := o.listen(ctx, given)
	if err != nil {
		return err.Error()
	}
	defer closeAll(l)
	var names []string
	for _, one := range []net.Listener{l.Images, l.Push, l.Metrics} {
		names = append(names, one.Addr().String())
	}
	return strings.Join(names, " ")
}

// Systemd is told when the server answers, and when it stops.
func TestSystemdIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	to, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	ctx, stop := context.WithCancel(t.Context())
	told := tellSystemd(ctx, slog.New(slog.DiscardHandler))
	stop()
	told()
	var texts []string
	for range 2 {
		var b [100]byte
		if err := to.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		n, err := to.Read(b[:])
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(b[:n]))
	}
	if !slices.Equal(texts, []string{"READY=1", "STOPPING=1"}) {
		t.Errorf("told %q", texts)
	}
}

// unit is a serve that this test starts as systemd does.
type unit struct {
	*testing.T
	at     []string // addresses of its sockets
	notify *net.UnixConn
	cmd    *exec.Cmd
	ended  chan error
	log    testlog.Log
}

// startUnit starts serve with sockets of these names.
func startUnit(t *testing.T, names string, flags ...string) *unit {
	t.Helper()
	dir := t.TempDir()
	to, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { to.Close() })
	u := &unit{T: t, notify: to, ended: make(chan error, 1)}
	u.cmd = exec.CommandContext(t.Context(), "sh", append([]string{"-c", `LISTEN_PID=$$ exec image2ipfs serve "$@"`, "sh"}, flags...)...)
	for range strings.Split(names, ":") {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close(); l.Close() })
		u.at, u.cmd.ExtraFiles = append(u.at, l.Addr().String()), append(u.cmd.ExtraFiles, f)
	}
	u.cmd.Env = append(os.Environ(), "IMAGE2IPFS_PATH="+filepath.Join(dir, "store"), "NOTIFY_SOCKET="+filepath.Join(dir, "notify"), "LISTEN_FDS="+strconv.Itoa(len(u.at)), "LISTEN_FDNAMES="+names)
	u.cmd.Stderr = &u.log
	if err := u.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { u.ended <- u.cmd.Wait() }()
	t.Cleanup(func() { _ = u.cmd.Process.Kill() })
	return u
}

// told waits for what systemd is told next.
func (u *unit) told(want string) {
	u.Helper()
	var b [100]byte
	if err := u.notify.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		u.Fatal(err)
	}
	n, err := u.notify.Read(b[:])
	if err != nil || !strings.HasPrefix(string(b[:n]), want) {
		u.Fatalf("told %q, %v; want %s; %s", b[:n], err, want, u.log.String())
	}
}

func (u *unit) signal(s os.Signal) {
	u.Helper()
	if err := u.cmd.Process.Signal(s); err != nil {
		u.Fatal(err)
	}
}

// end ends it, as systemctl stop does.
func (u *unit) end() {
	u.Helper()
	u.signal(syscall.SIGTERM)
	u.told("STOPPING=1")
	if err := <-u.ended; err != nil {
		u.Error(err)
	}
}

// A server on a socket that systemd opened, with all that it tells of itself: that it
// answers, that it reads its settings again and has done so, and that it ends.
func TestServeUnderSystemd(t *testing.T) {
	u := startUnit(t, "images", "--addr", "127.0.0.1:1") // where nobody may listen
	u.told("READY=1")
	if body, err := fetchText("http://" + u.at[0] + "/healthz"); err != nil || !strings.Contains(body, "ok") {
		t.Errorf("%s, %v", body, err)
	}
	u.signal(syscall.SIGHUP)
	u.told("RELOADING=1")
	u.told("READY=1")
	u.end()
}

// A socket for pushes or metrics is as good as its flag, for all that goes with it: whoever
// connects to it is answered, and a reload does not miss the flag.
func TestSocketsAreAsGoodAsFlags(t *testing.T) {
	u := startUnit(t, "images:push:metrics", "--events", filepath.Join(t.TempDir(), "events"), "--registry", "images.example")
	u.told("READY=1")
	for i, path := range []string{"/healthz", "/v2/", "/metrics"} {
		if _, err := fetchText("http://" + u.at[i] + path); err != nil {
			t.Errorf("%s is not answered: %v", path, err)
		}
	}
	if text, err := fetchText("http://" + u.at[0] + "/metrics"); err == nil && strings.Contains(text, "image2ipfs_build_info") {
		t.Error("metrics are on the socket for images, too")
	}
	u.signal(syscall.SIGHUP)
	u.told("RELOADING=1")
	u.told("READY=1")
	waitFor(t, "the log tells", func() bool {
		return strings.Contains(u.log.String(), "read again") || strings.Contains(u.log.String(), "stay as")
	})
	if text := u.log.String(); strings.Contains(text, "stay as they were") {
		t.Errorf("the log says %s", text)
	}
	u.end()
}

// A socket for pushes alone is beside the address of --addr, and flags that are about pushes
// go with it.
func TestASocketAlone(t *testing.T) {
	u := startUnit(t, "push", "--addr", "127.0.0.1:0", "--recompress")
	u.told("READY=1")
	if _, err := fetchText("http://" + u.at[0] + "/v2/"); err != nil {
		t.Error(err)
	}
	u.end()
}

// SIGHUP while a server starts ends nothing: the settings are read again when it serves.
func TestHangupBeforeServing(t *testing.T) {
	starting, goOn := make(chan struct{}, 100), make(chan struct{})
	kubo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // one that takes its time
		starting <- struct{}{}
		<-goOn
		if !strings.HasSuffix(r.URL.Path, "/version") {
			w.WriteHeader(http.StatusNotFound)
		}
		fmt.Fprint(w, `{"Version":"0.39.0"}`)
	}))
	defer kubo.Close()
	u := startUnit(t, "images", "--api", kubo.URL)
	<-starting
	u.signal(syscall.SIGHUP)
	close(goOn)
	u.told("READY=1")
	u.told("RELOADING=1")
	u.told("READY=1")
	waitFor(t, "the log tells", func() bool { return strings.Contains(u.log.String(), "the settings were read again") })
	u.end()
}
