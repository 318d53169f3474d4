//go:build unix

package main

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/test/process"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
	"github.com/image2ipfs/image2ipfs/test/testlog"
)

// reloader is a serve in this process whose settings are read again.
type reloader struct {
	*testing.T
	url, config string
	log         *testlog.Log
}

// startReloader starts one with flags, on the store at $IMAGE2IPFS_PATH if that is set and there, else on a new one.
func startReloader(t *testing.T, flags ...string) *reloader {
	t.Helper()
	addr, err := process.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	r := &reloader{t, "http://" + addr, filepath.Join(t.TempDir(), "serve.toml"), &testlog.Log{}}
	if _, err := os.Stat(os.Getenv("IMAGE2IPFS_PATH")); err != nil {
		t.Setenv("IMAGE2IPFS_PATH", filepath.Join(t.TempDir(), "store"))
	}
	r.write("")
	cmd := newRoot(io.Discard, r.log)
	cmd.SetArgs(append([]string{"serve", "--addr", addr, "--config", r.config}, flags...))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	r.until("/healthz", "ok")
	return r
}

func (r *reloader) write(text string) {
	r.Helper()
	if err := os.WriteFile(r.config, []byte(text), 0o600); err != nil {
		r.Fatal(err)
	}
}

// until waits for a body to have a text.
func (r *reloader) until(path, text string) {
	r.Helper()
	for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(20 * time.Millisecond) {
		if body, err := fetchText(r.url + path); err == nil && strings.Contains(body, text) {
			return
		}
	}
	r.Fatalf("%s does not say %q: %s", path, text, r.log.String())
}

// reload has the settings read again, and waits for what came of it.
func (r *reloader) reload(settings, metric string) {
	r.Helper()
	r.write(settings)
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		r.Fatal(err)
	}
	r.until("/metrics", "image2ipfs_config_reloads_total{result="+metric)
}

// Settings that can change do so at SIGHUP while a transfer goes on; the others are
// refused by name, and then nothing changes.
func TestReload(t *testing.T) {
	r := startReloader(t)
	data := make([]byte, 16<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	store, err := openStore()
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	root, layer := publishBlob(t, store, data)
	resp, err := http.Get(r.url + "/v2/" + root + "/blobs/" + layer)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	defer resp.Body.Close()
	begin := make([]byte, 1000)
	if _, err := io.ReadFull(resp.Body, begin); err != nil {
		t.Fatal(err)
	}
	r.reload("access-log = false\nlog-format = \"json\"\n", `"applied"} 1`)
	if text := r.log.String(); !strings.Contains(text, `"changed":"access-log log-format"`) {
		t.Errorf("the log says %s", text)
	}
	before := strings.Count(r.log.String(), "/healthz2")
	if _, err := fetchText(r.url + "/healthz2"); err != nil {
		t.Fatal(err)
	}
	if strings.Count(r.log.String(), "/healthz2") != before {
		t.Error("requests are logged still")
	}
	r.reload("access-log = true\ngateway = \"http://192.0.2.1\"\ndebug = true\n", `"refused"} 1`)
	if text := r.log.String(); !strings.Contains(text, "gateway cannot change while the server runs") {
		t.Errorf("the log says %s", text)
	}
	r.reload("log-format = \"json\"\naccess-log = true\n", `"applied"} 2`)
	r.reload("no-such-setting = 1\nopen = \"yes\"\n", `"refused"} 2`)
	if text := r.log.String(); strings.Contains(text, "config ls") || !strings.Contains(text, `expected true or false; invalid setting: `) {
		t.Errorf("the log says %s", text)
	}
	r.reload("access-log = true\n", `"applied"} 3`)
	if _, err := fetchText(r.url + "/healthz2"); err != nil {
		t.Fatal(err)
	}
	r.untilLogged("path=/healthz2")
	rest, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(append(begin, rest...), data) {
		t.Errorf("the transfer gave %d of %d bytes, %v", len(begin)+len(rest), len(data), err)
	}
}

func (r *reloader) untilLogged(text string) {
	r.Helper()
	for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(20 * time.Millisecond) {
		if strings.Contains(r.log.String(), text) {
			return
		}
	}
	r.Fatalf("the log does not say %q: %s", text, r.log.String())
}

// publishBlob publishes an image with one layer, and gives its root and the layer's digest.
func publishBlob(t *testing.T, store *packstore.Store, data []byte) (root, layer string) {
	t.Helper()
	tx, err := store.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l := testlayout.New(t, tx)
	c := l.Publish(l.Image("amd64", data))
	if _, err := tx.Commit(t.Context(), ipfs.Root{CID: c, Names: []string{"app:1"}}); err != nil {
		t.Fatal(err)
	}
	return ref.Ciq(c), digest.FromBytes(data).String()
}
