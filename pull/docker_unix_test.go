//go:build unix

package pull_test

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/image2ipfs/image2ipfs/pull"
)

// A dockerd whose loopback is another one cannot pull from a registry here: it has
// to get the image sent, though its socket is on this machine.
func TestDockerInOtherNetwork(t *testing.T) {
	for name, reaches := range map[string]bool{"same network": true, "other network": false} {
		dir, err := os.MkdirTemp("", "d") // names of sockets are short
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		socket := filepath.Join(dir, "s")
		listener, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		dockerd := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasSuffix(r.URL.Path, "/_ping"):
				w.Header().Set("Api-Version", "1.44")
			case strings.HasSuffix(r.URL.Path, "/info"):
				w.Header().Set("Content-Type", "application/json")
				if err := json.NewEncoder(w).Encode(map[string]string{"ServerVersion": "1"}); err != nil {
					t.Error(err)
				}
			case strings.Contains(r.URL.Path, "/distribution/") && reaches:
				_, rest, _ := strings.Cut(r.URL.Path, "/distribution/")
				address, _, _ := strings.Cut(rest, "/")
				c, err := net.Dial("tcp", address)
				if err != nil {
					t.Error(err)
				} else if c.Close() != nil {
					t.Error("closing")
				}
				http.Error(w, `{"message": "EOF"}`, http.StatusInternalServerError)
			default:
				http.Error(w, `{"message": "connection refused"}`, http.StatusInternalServerError)
			}
		})}
		go func() { _ = dockerd.Serve(listener) }() // ends with the test
		d, err := pull.DialDocker(t.Context(), "unix://"+socket)
		if err != nil {
			t.Fatal(err)
		}
		if d.Far() == reaches {
			t.Errorf("%s: Far is %v", name, d.Far())
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if err := dockerd.Close(); err != nil {
			t.Error(err)
		}
	}
}
