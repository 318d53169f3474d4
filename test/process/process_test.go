package process_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/image2ipfs/image2ipfs/test/process"
)

// shell is a command of sh, which ends with the test.
func shell(t *testing.T, script string) (*exec.Cmd, string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the tests that start servers run on Linux")
	}
	return exec.CommandContext(t.Context(), "sh", "-c", script), filepath.Join(t.TempDir(), "log")
}

// A server that does not start must be told at once, with what it said.
func TestStartTells(t *testing.T) {
	cmd, log := shell(t, "echo port is taken >&2; exit 7")
	never := func(context.Context) error { return errors.New("not there") }
	began := time.Now()
	_, err := process.Start(t.Context(), cmd, log, never)
	if err == nil || !strings.Contains(err.Error(), "port is taken") || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("error %v, want what the program said and how it ended", err)
	}
	if took := time.Since(began); took > process.StartPatience/2 {
		t.Errorf("the end was noticed after %v", took)
	}
}

// Start must not come back before the server is ready, and Stop must let it end
// in order.
func TestStartAndStop(t *testing.T) {
	cmd, log := shell(t, `trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done`)
	tries := 0
	p, err := process.Start(t.Context(), cmd, log, func(context.Context) error {
		if tries++; tries < 5 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := p.Memory(); err != nil || n <= 0 {
		t.Errorf("memory %d, %v", n, err)
	}
	if err := process.Await(t.Context(), func() error {
		if p.Last() != "ready" {
			return errors.New(p.Last())
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil || !strings.HasSuffix(p.Last(), "bye") {
		t.Errorf("stopped with %v, having said %q", err, p.Last())
	}
	if tries != 5 {
		t.Errorf("%d tries, want 5", tries)
	}
}

// A server that fails on the way out fails the test that stops it.
func TestStopTells(t *testing.T) {
	cmd, log := shell(t, `trap 'echo lost data; exit 3' TERM; echo ready; while :; do sleep 0.01; done`)
	p, err := process.Start(t.Context(), cmd, log, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Await(t.Context(), func() error {
		if p.Last() == "" {
			return errors.New("not yet")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err == nil || !strings.Contains(err.Error(), "lost data") {
		t.Errorf("error %v, want what the program said", err)
	}
}

func TestConditions(t *testing.T) {
	var status atomic.Int64
	status.Store(http.StatusServiceUnavailable)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) }))
	defer s.Close()
	answers := process.Answers(s.Client(), s.URL)
	if err := answers(t.Context()); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("an unwell server: %v", err)
	}
	status.Store(http.StatusOK)
	if err := answers(t.Context()); err != nil {
		t.Error(err)
	}
	free, err := process.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	other, err := process.FreeAddr()
	if err != nil || other == free {
		t.Errorf("two addresses: %s and %s, %v", free, other, err)
	}
	listens := process.Listens(&net.Dialer{}, "tcp", free)
	if err := listens(t.Context()); err == nil {
		t.Errorf("somebody listens on %s", free)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := process.Await(ctx, func() error { return listens(ctx) }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the deadline", err)
	}
}
