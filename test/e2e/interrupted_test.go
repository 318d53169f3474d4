//go:build e2e

package e2e

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// TestInterruptedPull kills a pull half way: the next one must not fetch again
// what is there, and everything must be right in the end.
func TestInterruptedPull(t *testing.T) {
	t.Parallel()
	f := publishFar(t, "big.docker20.tar")
	meter := &meter{}
	slow := httptest.NewServer(meter.before(t, f.gateway))
	defer slow.Close()
	p := newProgram(t)
	dir := filepath.Join(t.TempDir(), "layout")
	argv := append(p.command(), "pull", "--quiet", "--gateway", slow.URL, "--to", "oci:"+dir, f.name)

	meter.limit.Store(20 << 20)
	killed := exec.Command(argv[0], argv[1:]...)
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "half of the image", func() error {
		if n := meter.sent.Load(); n < 20<<20 {
			return fmt.Errorf("%d bytes sent", n)
		}
		return nil
	})
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait() // killed
	had := sizeOf(t, dir)
	if had == 0 {
		t.Fatal("nothing had arrived when the pull was killed")
	}

	meter.limit.Store(1 << 40)
	meter.sent.Store(0)
	if _, err := command(argv).output(deadline(t)); err != nil {
		t.Fatal(err)
	}
	checkLayout(t, dir, f.want.Digests[0])
	whole := sizeOf(t, dir)
	t.Logf("%d of %d bytes had arrived; the second pull fetched %d", had, whole, meter.sent.Load())
	if most := whole - had + 8<<20; meter.sent.Load() > most {
		t.Errorf("the second pull fetched %d bytes, expected at most %d", meter.sent.Load(), most)
	}
	lines, err := p.publish(deadline(t), dir, false, "-r", "host:1")
	if err != nil || lines[0] != "host:1/"+f.name {
		t.Errorf("published again it is %s (%v), it was %s", lines, err, f.name)
	}
}

func sizeOf(t *testing.T, dir string) (size int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return size
}

// meter counts what a gateway sends and holds it back beyond a limit.
type meter struct{ sent, limit atomic.Int64 }

func (m *meter) before(t *testing.T, gateway string) http.Handler {
	target, err := url.Parse(gateway)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy.ServeHTTP(&metered{w, m, r}, r)
	})
}

type metered struct {
	http.ResponseWriter
	m *meter
	r *http.Request
}

func (w *metered) Write(p []byte) (int, error) {
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for w.m.sent.Load() > w.m.limit.Load() {
		select {
		case <-w.r.Context().Done():
			return 0, w.r.Context().Err()
		case <-poll.C:
		}
	}
	n, err := w.ResponseWriter.Write(p)
	w.m.sent.Add(int64(n))
	return n, err
}
