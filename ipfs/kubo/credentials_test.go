package kubo

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// guarded is a Kubo that asks for a header.
func guarded(t *testing.T, header string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != header {
			http.Error(w, "Kubo RPC Access Denied: Please provide a valid authorization token as defined in the API.Authorizations configuration.", http.StatusForbidden)
			return
		}
		io.WriteString(w, `{"Version":"0.42.0"}`)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestCredentials(t *testing.T) {
	file := filepath.Join(t.TempDir(), "auth")
	if err := os.WriteFile(file, []byte("bearer:s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, header := range map[string]string{
		"bearer:s3cret": "Bearer s3cret", "@" + file: "Bearer s3cret", "basic:u:s3cret:x": "Basic dTpzM2NyZXQ6eA==",
		"s3cret": "Bearer s3cret", "basic:dTpzM2NyZXQ6eA==": "Basic dTpzM2NyZXQ6eA==",
	} {
		c, err := ParseCredentials(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		e, err := Dial(t.Context(), guarded(t, header).URL, c)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if text := fmt.Sprintf("%v %+v %#v %s", c, c, c, e); strings.Contains(text, "s3cret") || strings.Contains(text, "dTpz") {
			t.Errorf("the secret is printed: %s", text)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		_, err = Dial(t.Context(), guarded(t, "other").URL, c)
		if !errors.Is(err, ErrDenied) || !errors.Is(err, ipfs.ErrUnavailable) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("refused: %v", err)
		}
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"bearer:", "basic:s3cret", "basic:czNjcmV0", "@" + file, "@/nonexistent/s", "bearer:a\nb", "digest:s3cret:x"} {
		if _, err := ParseCredentials(t.Context(), text); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A daemon that runs and refuses, or hangs, was asked for: taking the embedded
// store in its place would lose the images from where the user looks for them.
func TestIPFSPathIsNeverAnotherStore(t *testing.T) {
	hung, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Setenv("IPFS_PATH", dir)
	t.Setenv("IPFS_API", "")
	for name, c := range map[string]struct {
		api    string
		asked  bool
		denied bool
	}{
		"refuses": {strings.TrimPrefix(guarded(t, "Bearer x").URL, "http://"), true, true},
		"hangs":   {hung.Addr().String(), true, false},
		"crashed": {gone.Addr().String(), false, false},
	} {
		if err := os.WriteFile(filepath.Join(dir, "api"), []byte(c.api), 0o600); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, asked, err := FromEnvironment("", Credentials{})
		if asked != c.asked || (err != nil) != c.asked || errors.Is(err, ErrDenied) != c.denied {
			t.Errorf("%s: asked %v, %v", name, asked, err)
		}
		if d := time.Since(began); d > 10*time.Second {
			t.Errorf("%s took %v", name, d)
		}
	}
}

// A real Kubo that lets in a bearer of a token and a user with a password, and nobody
// else.
func TestCredentialsRealDaemon(t *testing.T) {
	d := startKubo(t)
	d.kill()
	d.configure(t, "API.Authorizations", map[string]any{
		"ci":    map[string]any{"AuthSecret": "bearer:sesame", "AllowedPaths": []string{"/api/v0"}},
		"alice": map[string]any{"AuthSecret": "basic:alice:open", "AllowedPaths": []string{"/api/v0"}},
	})
	d.restart(t)
	t.Setenv("IPFS_API", "")
	t.Setenv("IPFS_PATH", d.repo)
	for text, ok := range map[string]bool{"": false, "bearer:sesam": false, "basic:alice:closed": false, "bearer:sesame": true, "basic:alice:open": true} {
		c, err := ParseCredentials(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		api, asked, err := FromEnvironment("", c)
		if !asked || (err == nil) != ok || errors.Is(err, ErrDenied) == ok {
			t.Errorf("%q: %s, asked %v, %v", text, api, asked, err)
			continue
		}
		s, err := Dial(t.Context(), d.api, c)
		if (err == nil) != ok || errors.Is(err, ErrDenied) == ok {
			t.Errorf("%q: %v", text, err)
		}
		if err != nil {
			continue
		}
		root, _ := publish(t, s, text, "app:1")
		if _, err := s.Get(t.Context(), root.CID); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
