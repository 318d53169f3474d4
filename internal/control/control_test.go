package control

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Another process learns what a server knows, and sees that none runs; two servers
// never run on one store.
func TestAsk(t *testing.T) {
	for name, dir := range map[string]string{
		"short": t.TempDir(),
		"deep":  filepath.Join(t.TempDir(), strings.Repeat("deep/", 40)), // longer than a socket's path may be
	} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		var got struct{ Name string }
		if err := Ask(t.Context(), dir, "/name", &got); !errors.Is(err, ipfs.ErrUnavailable) {
			t.Errorf("%s: nobody runs: %v, want ErrUnavailable", name, err)
		}
		for range 2 { // the second finds what the first may have left
			c, err := Lock(dir)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Lock(dir); err == nil || !strings.Contains(err.Error(), "another server") {
				t.Errorf("%s: a second server: %v", name, err)
			}
			mux := http.NewServeMux()
			mux.HandleFunc("GET /name", Answer(func() any { return map[string]string{"name": "me"} }))
			if err := c.Serve(mux); err != nil {
				t.Fatal(err)
			}
			if err := Ask(t.Context(), dir, "/name", &got); err != nil || got.Name != "me" {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
			if err := Ask(t.Context(), dir, "/else", &got); err == nil || errors.Is(err, ipfs.ErrUnavailable) {
				t.Errorf("%s: what it does not answer: %v", name, err)
			}
			if info, err := os.Stat(filepath.Join(dir, socketName)); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: the socket is %v, %v", name, info.Mode(), err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if err := Ask(t.Context(), dir, "/name", &got); !errors.Is(err, ipfs.ErrUnavailable) {
				t.Errorf("%s: it has ended: %v, want ErrUnavailable", name, err)
			}
		}
	}
}
