//go:build unix

package main

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// waits tells whether a thread of a process waits in one of these functions of Linux.
func waits(t *testing.T, pid int, in ...string) bool {
	t.Helper()
	threads, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "wchan"))
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		where, err := os.ReadFile(thread)
		for _, name := range in {
			if err == nil && strings.Contains(string(where), name) {
				return true
			}
		}
	}
	return false
}

// Ctrl-C ends a command that waits for somebody to write into a named pipe at once,
// whichever it is and whatever the pipe is to hold.
func TestInterruptedAtANamedPipe(t *testing.T) {
	const root = "ciqddxseacsddleyizojmahrh2uaq7ujnplse6r6mylurgu4bfodrmi"
	for what, args := range map[string][]string{
		"publish":                  {"publish", "PIPE"},
		"publish -n":               {"publish", "-n", "oci-archive:PIPE"},
		"publish --from":           {"publish", "--from", "PIPE"},
		"restore":                  {"restore", "PIPE"},
		"restore --keys":           {"restore", "--keys", "PIPE", "backup.car"},
		"name import":              {"name", "import", "app", "PIPE"},
		"service add":              {"service", "add", "one", "https://pins.example/psa", "--token-file", "PIPE"},
		"verify --key":             {"verify", "--key", "PIPE", root},
		"pull --require-signature": {"pull", "--require-signature", "PIPE", "--to", "oci:DIR", root},
		"pull --swarm-key":         {"pull", "--mdns", "--swarm-key", "PIPE", "--to", "oci:DIR", root},
		"ls --api-auth":            {"ls", "--api", "http://127.0.0.1:1", "--api-auth", "@PIPE"},
		"config check":             {"config", "check", "PIPE"},
		"serve --config":           {"serve", "--config", "PIPE"},
		"serve --allow":            {"serve", "--addr", "127.0.0.1:0", "--allow", "PIPE"},
		"serve --tls-cert":         {"serve", "--addr", "127.0.0.1:0", "--tls-cert", "PIPE", "--tls-key", "PIPE"},
		"serve --htpasswd":         {"serve", "--addr", "127.0.0.1:0", "--push", "127.0.0.2:0", "--htpasswd", "PIPE"},
		"publish, writer":          {"publish", "PIPE"},
		"restore, writer":          {"restore", "PIPE"},
		"name import, writer":      {"name", "import", "app", "PIPE"},
		"verify --key writer":      {"verify", "--key", "PIPE", root},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			pipe := namedPipe(t)
			for i := range args {
				args[i] = strings.Replace(strings.Replace(args[i], "PIPE", pipe, 1), "DIR", t.TempDir(), 1)
			}
			cmd := exec.Command("image2ipfs", args...)
			cmd.Env = append(os.Environ(), "IMAGE2IPFS_PATH="+t.TempDir(), "IPFS_API=", "IPFS_PATH=")
			interrupted(t, cmd, func() {
				if strings.HasSuffix(what, "writer") { // who opens and writes nothing
					w := writerOf(t, pipe)
					t.Cleanup(func() { _ = w.Close() })
					return
				}
				awaitWait(t, cmd, "wait_for_partner", "fifo_open")
			})
		})
	}
}

func namedPipe(t *testing.T) string {
	t.Helper()
	pipe := filepath.Join(t.TempDir(), "p")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	return pipe
}

// writerOf opens a named pipe for writing as soon as somebody reads it.
func writerOf(t *testing.T, pipe string) *os.File {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		w, err := os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err == nil {
			return w
		}
		if !errors.Is(err, syscall.ENXIO) || time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// awaitWait returns when a command waits in one of these functions of Linux; elsewhere
// nothing tells that it does.
func awaitWait(t *testing.T, cmd *exec.Cmd, in ...string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !waits(t, cmd.Process.Pid, in...) && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
}

// interrupted starts a command, has ready wait until it waits, and sends Ctrl-C, which
// has to end it.
func interrupted(t *testing.T, cmd *exec.Cmd, ready func()) {
	t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timeout := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer timeout.Stop()
	ready()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Errorf("ended with %v, expected exit code %d; standard error: %s", err, exitInterrupted, stderr.String())
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

// imageStore is a store with an image of some MiB, of the name app:1.
func imageStore(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	data := make([]byte, 4<<20)
	_, _ = rand.NewChaCha8([32]byte{9}).Read(data)
	l := testlayout.New(t, testlayout.NewBlocks())
	layout := t.TempDir()
	l.Write(layout, oci.Named(l.Image("amd64", data), "app:1"))
	mustRun(t, onStore(t, dir, "publish", "-q", layout))
	return dir
}

// So it does with one that waits for somebody to read what it writes, into a named pipe
// or to standard output.
func TestInterruptedWhileNobodyReads(t *testing.T) {
	store := imageStore(t)
	for what, args := range map[string][]string{
		"pull --to docker-archive": {"pull", "--to", "docker-archive:PIPE", "--platform", "linux/amd64", "app:1"},
		"pull --to oci-archive":    {"pull", "--to", "oci-archive:PIPE", "app:1"},
		"backup":                   {"backup", "PIPE"},
		"pull --to -":              {"pull", "--to", "-", "--platform", "linux/amd64", "app:1"},
		"backup -":                 {"backup", "-"},
		"ls":                       {"ls", "--json"},
		"serve --help":             {"serve", "--help"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			pipe := namedPipe(t)
			r, err := os.OpenFile(pipe, os.O_RDWR, 0) // whoever reads waits for what comes
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			named := false
			for i := range args {
				named = named || strings.Contains(args[i], "PIPE")
				args[i] = strings.Replace(args[i], "PIPE", pipe, 1)
			}
			cmd := onStore(t, store, args...)
			if named {
				interrupted(t, cmd, func() {
					if _, err := io.ReadFull(r, make([]byte, 1)); err != nil {
						t.Fatal(err)
					}
				})
				if info, err := os.Stat(pipe); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
					t.Errorf("the named pipe is %v now, %v", info.Mode(), err)
				}
				return
			}
			w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			fill(t, pipe)
			cmd.Stdout = w
			interrupted(t, cmd, func() { awaitWait(t, cmd, "pipe_write", "pipe_wait") })
		})
	}
}

// fill writes into a named pipe, that is read by somebody, until it is full.
func fill(t *testing.T, pipe string) {
	t.Helper()
	fd, err := syscall.Open(pipe, syscall.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	for size := 4096; size > 0; size /= 8 {
		for err = nil; err == nil; {
			_, err = syscall.Write(fd, make([]byte, size))
		}
	}
	if !errors.Is(err, syscall.EAGAIN) {
		t.Fatal(err)
	}
}

// Who comes late to a named pipe gets all, and it is still a pipe: a backup does not take
// its place, nor that of a symbolic link.
func TestBackupIntoWhatIsThere(t *testing.T) {
	store := imageStore(t)
	pipe, keys := namedPipe(t), namedPipe(t)
	cmd := onStore(t, store, "backup", "-q", "--keys", keys, pipe)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan bool, 1)
	go func() {
		key, err := os.ReadFile(keys)
		if err != nil || !strings.Contains(string(key), "image2ipfs keys") {
			t.Errorf("keys %q, %v", key, err)
		}
		read <- true
	}()
	got, err := os.ReadFile(pipe)
	if err != nil || len(got) < 4<<20 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	<-read
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file.car"), filepath.Join(dir, "link.car")
	if err := errors.Join(os.WriteFile(file, []byte("old"), 0o600), os.Symlink("file.car", link)); err != nil {
		t.Fatal(err)
	}
	mustRun(t, onStore(t, store, "backup", "-q", link))
	if info, err := os.Stat(file); err != nil || info.Size() < 4<<20 {
		t.Errorf("what the link leads to is not the backup: %v, %v", info, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v now, %v", info.Mode(), err)
	}
}

// A file of keys, passwords or settings that has no end is refused, by name, before it
// fills memory.
func TestEndlessFiles(t *testing.T) {
	const endless = "/dev/zero"
	for what, args := range map[string][]string{
		"restore --keys":   {"restore", "--keys", endless, "backup.car"},
		"name import":      {"name", "import", "app", endless},
		"verify --key":     {"verify", "--key", endless, "app:1"},
		"pull --swarm-key": {"pull", "--mdns", "--swarm-key", endless, "--to", "oci:" + t.TempDir(), "ciqddxseacsddleyizojmahrh2uaq7ujnplse6r6mylurgu4bfodrmi"},
		"ls --api-auth":    {"ls", "--api", "http://127.0.0.1:1", "--api-auth", "@" + endless},
		"config check":     {"config", "check", endless},
		"serve --allow":    {"serve", "--addr", "127.0.0.1:0", "--allow", endless},
		"serve --tls-cert": {"serve", "--addr", "127.0.0.1:0", "--tls-cert", endless, "--tls-key", endless},
		"serve --htpasswd": {"serve", "--addr", "127.0.0.1:0", "--push", "127.0.0.2:0", "--htpasswd", endless},
		"service add":      {"service", "add", "one", "https://pins.example/psa", "--token-file", endless},
	} {
		t.Run(what, func(t *testing.T) {
			cmd := onStore(t, t.TempDir(), args...)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || !strings.Contains(string(out), endless) || !strings.Contains(string(out), "bytes") {
				t.Errorf("%v: %s; want an error that names %s and how large it may be", err, out, endless)
			}
		})
	}
}
