//go:build unix

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
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
	l, err := o.listen(ctx)
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

// A server on a socket that systemd opened, with all that it tells of itself: that it
// answers, that it reads its settings again and has done so, and that it ends.
func TestServeUnderSystemd(t *testing.T) {
	dir := t.TempDir()
	to, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
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
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "LISTEN_PID=$$ exec image2ipfs serve --addr 127.0.0.1:1") // where nobody may listen
	cmd.Env = append(os.Environ(), "IMAGE2IPFS_PATH="+filepath.Join(dir, "store"), "NOTIFY_SOCKET="+filepath.Join(dir, "notify"), "LISTEN_FDS=1", "LISTEN_FDNAMES=images")
	cmd.ExtraFiles = []*os.File{f}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	told := func(want string) {
		t.Helper()
		var b [100]byte
		if err := to.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		n, err := to.Read(b[:])
		if err != nil || !strings.HasPrefix(string(b[:n]), want) {
			t.Fatalf("told %q, %v; want %s", b[:n], err, want)
		}
	}
	told("READY=1")
	if body, err := fetchText("http://" + l.Addr().String() + "/healthz"); err != nil || !strings.Contains(body, "ok") {
		t.Errorf("%s, %v", body, err)
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	told("RELOADING=1")
	told("READY=1")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	told("STOPPING=1")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
