//go:build e2e

// Gateways that do what gateways must not.

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestBadGateways puts each kind of bad gateway before a good one: the pull
// must succeed all the same; alone, it must fail, say which gateway, and
// deliver nothing.
func TestBadGateways(t *testing.T) {
	t.Parallel()
	f := publishFar(t, "small.docker20.tar")
	other := publishFar(t, "multi.docker20.tar")
	for name, h := range badGateways(f.gateway, other.gateway) {
		t.Run(name, func(t *testing.T) {
			bad := httptest.NewServer(h)
			defer bad.Close()
			dir := t.TempDir()
			p := newProgram(t)
			pull := func(to string, gateways ...string) error {
				args := []string{"pull", "--to", "oci:" + to}
				for _, g := range gateways {
					args = append(args, "--gateway", g)
				}
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				_, err := p.command().output(ctx, append(args, f.name)...)
				return err
			}
			if err := pull(dir+"/good", bad.URL, f.gateway); err != nil {
				t.Errorf("with a good gateway behind it: %v", err)
			}
			checkLayout(t, dir+"/good", f.want.Digests[0])
			if name == "stalls" {
				return // alone it is waited for, as long as a search on IPFS may take
			}
			err := pull(dir+"/bad", bad.URL)
			if err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(bad.URL, "http://")) {
				t.Errorf("alone: %v, expected an error that names %s", err, bad.URL)
			}
			if _, err := os.Stat(dir + "/bad/index.json"); err == nil {
				t.Error("alone: an image was delivered")
			}
		})
	}
}

// checkLayout tells whether dir holds a layout with this image at its top.
func checkLayout(t *testing.T, dir, digest string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Error(err)
		return
	}
	var index struct{ Manifests []struct{ Digest string } }
	if err := json.Unmarshal(data, &index); err != nil || len(index.Manifests) == 0 || index.Manifests[0].Digest != digest {
		t.Errorf("%s/index.json: expected %s, found %s (%v)", dir, digest, data, err)
	}
}

// badGateways are handlers before a good gateway, and one before another
// image's, by what is wrong with them.
func badGateways(good, other string) map[string]http.Handler {
	return map[string]http.Handler{
		"flips a bit":     changing(good, func(b []byte) []byte { b[len(b)/2] ^= 1; return b }),
		"truncates":       changing(good, func(b []byte) []byte { return b[:len(b)-1] }),
		"sends too much":  changing(good, func(b []byte) []byte { return append(b, 'x') }),
		"sends nothing":   changing(good, func([]byte) []byte { return nil }),
		"has other image": changing(other, func(b []byte) []byte { return b }),
		"answers 504":     status(http.StatusGatewayTimeout),
		"answers 429":     status(http.StatusTooManyRequests),
		"redirects in a loop": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path+"?again="+r.URL.Query().Get("again")+"x", http.StatusTemporaryRedirect)
		}),
		"stalls":           http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
		"cuts connections": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
	}
}

func status(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", code)
	})
}

// changing passes requests on and changes the bytes of every answer.
func changing(to string, change func([]byte) []byte) http.Handler {
	target, err := url.Parse(to)
	if err != nil {
		panic(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(resp *http.Response) error {
		data, err := io.ReadAll(resp.Body)
		if err != nil || len(data) == 0 || resp.StatusCode != http.StatusOK {
			return err
		}
		data = change(data)
		resp.Body = io.NopCloser(bytes.NewReader(data))
		resp.ContentLength = int64(len(data))
		resp.Header.Set("Content-Length", strconv.Itoa(len(data)))
		return nil
	}
	return proxy
}
