package p2p

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// In a network namespace without interfaces this test runs itself again.
const withoutNetwork = "IMAGE2IPFS_TEST_WITHOUT_NETWORK"

// On a machine without a network, --mdns costs one warning: a pull ends, and a
// server starts and can be stopped.
func TestMDNSWithoutNetwork(t *testing.T) {
	if os.Getenv(withoutNetwork) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=2m", "-test.v")
		cmd.Env = append(os.Environ(), withoutNetwork+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET}
		out := new(bytes.Buffer)
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Skip("namespaces cannot be made here: ", err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v:\n%s", err, out)
		}
		return
	}
	for name, listen := range map[string][]string{"pull": nil, "serve": {"/ip4/0.0.0.0/tcp/0"}} {
		t.Run(name, func(t *testing.T) {
			warned := make(chan string, 10)
			n, err := New(t.Context(), Config{MDNS: true, Listen: listen, Logger: slog.New(slog.NewTextHandler(lines(warned), &slog.HandlerOptions{Level: slog.LevelWarn}))})
			if err != nil {
				t.Fatal(err)
			}
			if line := <-warned; !strings.Contains(line, "mDNS") {
				t.Errorf("it warns: %s", line)
			}
			if err := n.Close(); err != nil {
				t.Error(err)
			}
			if len(warned) > 0 {
				t.Errorf("it warns again: %s", <-warned)
			}
		})
	}
}

// lines takes what is written to a log.
type lines chan string

func (l lines) Write(p []byte) (int, error) { l <- string(p); return len(p), nil }
