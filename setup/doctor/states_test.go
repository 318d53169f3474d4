package doctor

// States that users were in, each made here: what doctor says of it must be true,
// and what it advises must not lead back to the same advice.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/server"
)

// handler is a server of the probe's store.
func handler(t *testing.T, allow bool) (*Probe, http.Handler) {
	t.Helper()
	store, probe, _ := published(t)
	cfg := server.Config{Local: store, Logger: slog.New(slog.DiscardHandler)}
	if allow {
		cfg.Allow = server.Only(probe.nonce) // and so not the probe
	}
	s, err := server.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return probe, s
}

func says(t *testing.T, c Check, status, detail, next string) {
	t.Helper()
	if c.Status != status || !strings.Contains(c.Detail, detail) || !strings.Contains(c.Next, next) {
		t.Errorf("got %+v,\nwant %s, %q and %q", c, status, detail, next)
	}
	if strings.Contains(c.Detail, "listens there") && strings.Contains(c.Next, "serve --addr") && !strings.Contains(c.Detail, "nothing listens") && !strings.Contains(c.Next, "another port") {
		t.Errorf("something listens there, and doctor advises to start a server: %+v", c)
	}
}

func TestServerStates(t *testing.T) {
	probe, images := handler(t, false)
	t.Run("certificate of an unknown authority", func(t *testing.T) {
		s := httptest.NewTLSServer(images)
		defer s.Close()
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		says(t, Server(t.Context(), s.URL, probe), OK, "does not trust", "")
		says(t, Server(t.Context(), "http"+strings.TrimPrefix(s.URL, "https"), probe), Problem, "speaks HTTPS, not HTTP", "--server "+s.URL)
	})
	t.Run("https to a port with HTTP", func(t *testing.T) {
		s := httptest.NewServer(images)
		defer s.Close()
		c := Server(t.Context(), "https"+strings.TrimPrefix(s.URL, "http"), probe)
		says(t, c, Problem, "speaks HTTP, not HTTPS", "--server "+s.URL)
		says(t, Server(t.Context(), s.URL, probe), OK, "serves what is published here", "") // the advice, followed
	})
	t.Run("hangs", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // the kernel takes the connection; nobody answers
		_, port, _ := net.SplitHostPort(l.Addr().String())
		says(t, Server(t.Context(), "http://"+l.Addr().String(), probe), Problem, "it hangs", "sport = :"+port)
	})
	t.Run("other protocol", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, "SSH-2.0-x\r\n")
				c.Close()
			}
		}()
		says(t, Server(t.Context(), "http://"+l.Addr().String(), probe), Problem, "does not speak HTTP", "another port")
	})
	t.Run("no port", func(t *testing.T) {
		if got := serveCommand("https://127.0.0.1"); got != "image2ipfs serve --addr 127.0.0.1:443 --tls-cert CERT.pem --tls-key KEY.pem" {
			t.Error(got)
		}
		if got := serveCommand("http://[::1]"); got != "image2ipfs serve --addr [::1]:80" {
			t.Error(got)
		}
	})
}

func TestRedirects(t *testing.T) {
	probe, images := handler(t, false)
	t.Run("redirect to where this machine gets it", func(t *testing.T) {
		blobs := httptest.NewServer(images)
		defer blobs.Close()
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/blobs/") {
				http.Redirect(w, r, blobs.URL+r.URL.Path, http.StatusTemporaryRedirect)
				return
			}
			images.ServeHTTP(w, r)
		}))
		defer s.Close()
		sent := *probe
		says(t, Server(t.Context(), s.URL, &sent), OK, "sends for blobs to "+blobs.URL, "")
		says(t, try(t.Context(), Options{}, pulling{}, &sent), OK, "blobs from "+blobs.URL, "")
		lost := pulling{err: errors.New(`Get "` + blobs.URL + `/x": connection refused`)}
		says(t, try(t.Context(), Options{}, lost, &sent), Problem, "connection refused", "--no-redirect")
		says(t, try(t.Context(), Options{}, pulling{err: errors.New("no such image")}, &sent), Problem, "no such image", "as ever")
	})
	t.Run("redirect to nowhere", func(t *testing.T) {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/blobs/") {
				http.Redirect(w, r, "http://127.0.0.1:1/ipfs/x", http.StatusTemporaryRedirect)
				return
			}
			images.ServeHTTP(w, r)
		}))
		defer s.Close()
		says(t, Server(t.Context(), s.URL, probe), Problem, "sends for a blob to where this machine does not get it", "--no-redirect")
	})
}

func TestLimitedServer(t *testing.T) {
	probe, limited := handler(t, true)
	s := httptest.NewServer(limited)
	defer s.Close()
	hidden := *probe
	hidden.nonce = probe.Root // not among what is allowed
	says(t, Server(t.Context(), s.URL, &hidden), Problem, "limits what it serves", "--allow "+ref.Ciq(probe.Root))
}

func TestGatewayStates(t *testing.T) {
	for name, c := range map[string]struct {
		ranged int
		detail string
	}{
		"trustless only": {http.StatusNotAcceptable, "no client can be redirected there: gateway"},
		"by path, too":   {http.StatusPartialContent, "and ranges of files by path"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				w.Header().Set("Content-Range", "bytes 0-3/10")
				w.WriteHeader(c.ranged)
				return
			}
			if !strings.HasPrefix(r.URL.Path, "/ipfs/bafkqaaa") {
				w.WriteHeader(http.StatusNotFound)
			}
		}))
		check := Gateway(t.Context(), s.URL)
		if check.Status != OK || !strings.Contains(check.Detail, c.detail) {
			t.Errorf("%s: %+v", name, check)
		}
		s.Close()
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		next   string
	}{
		"a web server":         {http.NotFound, "is no IPFS gateway"},
		"a page for all paths": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, "is no IPFS gateway"},
		"behind a dead proxy":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, "that gateway's log"},
	} {
		s := httptest.NewServer(c.answer)
		check := Gateway(t.Context(), s.URL)
		says(t, check, Problem, "", c.next)
		if t.Failed() {
			t.Log(name)
		}
		s.Close()
		says(t, Gateway(t.Context(), s.URL), Problem, "refused", "start it")
	}
}

func TestAdviceForDocker(t *testing.T) {
	_, probe, url := published(t)
	hung := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/_ping") {
			w.Header().Set("Api-Version", "1.44")
			return
		}
		<-r.Context().Done()
	}))
	defer hung.Close()
	o := Options{Server: url, Engines: []string{"docker"}, Docker: []string{"tcp://" + strings.TrimPrefix(hung.URL, "http://")}, Timeout: 300 * time.Millisecond, root: t.TempDir()}
	says(t, engines(t, o, probe)[0], Problem, "no answer within", "dockerd hangs")

	d := &dockerd{host: "unix:///x", mirrors: []string{url + "/"}, answers: true}
	for text, want := range map[string]string{
		"x509: certificate signed by unknown authority": "/etc/docker/certs.d/" + strings.TrimPrefix(url, "http://") + "/ca.crt",
		"manifest unknown": "journalctl -u docker",
	} {
		if next := d.Next(errors.New(text), o); !strings.Contains(next, want) || strings.Contains(next, "setup docker") {
			t.Errorf("%s: %q", text, next)
		}
	}
	if next := d.Next(context.DeadlineExceeded, o); !strings.Contains(next, "one of its mirrors") {
		t.Error(next)
	}
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	d.mirrors, o.Server = []string{secure.URL + "/"}, secure.URL
	if next := d.Next(errors.New("lookup registry-1.docker.io: no such host"), o); !strings.Contains(next, "install -D CA.crt /etc/docker/certs.d/") {
		t.Errorf("dockerd says nothing of a mirror whose authority it does not know: %q", next)
	}
}

// What setup has done or refuses is not advised again.
func TestAdviceIsNotALoop(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the files are Linux's")
	}
	root := t.TempDir()
	certs := filepath.Join(root, "certs.d")
	o := Options{Server: "http://127.0.0.1:5000", HostsDir: certs, root: root}
	c := &containerd{kind: "containerd", address: "/x", certs: certs}
	if next := c.Next(errors.New("not found"), o); !strings.Contains(next, "setup containerd --yes --hosts-dir "+certs) {
		t.Errorf("before setup: %q", next)
	}
	for _, name := range []string{"docker.io", "_default"} {
		path := filepath.Join(certs, name, "hosts.toml")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("[host.\"http://127.0.0.1:5000\"]\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if next := c.Next(errors.New("not found"), o); strings.Contains(next, "setup containerd --yes") {
		t.Errorf("after setup: %q", next)
	}
	k := &cri{containerd{kind: "containerd", address: "/x", certs: certs}}
	failed := errors.Join(errCRIFailed, errors.New("`mirrors` cannot be set when `config_path` is provided"))
	if next := k.Next(failed, o); !strings.Contains(next, "beside config_path") || strings.Contains(next, "setup containerd --yes") {
		t.Errorf("CRI failed: %q", next)
	}
	o.Server = "http://[::1]:5000"
	p := &program{kind: "podman", command: []string{"podman"}}
	if next := p.Next(errors.New("x"), o); !strings.Contains(next, "by hand") || !strings.Contains(next, "/etc/hosts") {
		t.Errorf("setup refuses: %q", next)
	}
}

func TestOldContainerdReadsNoIPv6(t *testing.T) {
	certs := t.TempDir()
	path := filepath.Join(certs, "docker.io", "hosts.toml")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("server = \"x\"\n[host.\"http://[::1]:5000\"]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := &containerd{kind: "containerd", certs: certs}
	if err := c.readable("2.1.9"); err != nil {
		t.Error(err)
	}
	err := c.readable("1.6.20")
	if !errors.Is(err, errUnreadable) || !strings.Contains(err.Error(), "line 2") {
		t.Fatalf("got %v", err)
	}
	if next := c.Next(err, Options{}); !strings.Contains(next, "/etc/hosts") {
		t.Error(next)
	}
}

func TestDistributionsSockets(t *testing.T) {
	for address, want := range map[string]string{
		"/run/containerd/containerd.sock":               "containerd",
		"unix:///run/k0s/containerd.sock":               "k0s",
		"/var/snap/microk8s/common/run/containerd.sock": "microk8s",
		"/tmp/sock": "containerd",
	} {
		if got := kindOf(address); got != want {
			t.Errorf("%s: %s", address, got)
		}
	}
	if got := kindOf("/run/k3s/containerd/containerd.sock"); got != "k3s" && got != "rke2" {
		t.Error(got)
	}
}

// "Not there" is not "ok".
func TestAbsentIsNotOK(t *testing.T) {
	text, err := json.Marshal(Check{Status: Absent})
	if err != nil || strings.Contains(string(text), `"ok"`) {
		t.Errorf("%s (%v)", text, err)
	}
	_, probe, _ := published(t)
	t.Setenv("PATH", t.TempDir())
	o := Options{Engines: []string{"podman"}}
	says(t, engines(t, o, nil)[0], Problem, "not found", "")
	c := try(t.Context(), Options{}, absent{}, probe)
	says(t, c, Absent, "not served here", "")
}

// pulling is an engine whose pull ends like this.
type pulling struct{ err error }

func (pulling) String() string { return "pulling" }

func (p pulling) Try(context.Context, string, digest.Digest) (string, error) { return "it", p.err }

func (pulling) Next(error, Options) string { return "as ever" }

func (pulling) Ordinary(context.Context, string, *standIn) onward {
	return onward{asked: []string{"registry-1.docker.io"}, err: errors.New("not found")}
}

func (pulling) Beyond(Options) string { return "" }

type absent struct{ engine }

func (absent) String() string { return "absent" }

func (absent) Try(context.Context, string, digest.Digest) (string, error) {
	return "", fmt.Errorf("CRI is %w", errNotServed)
}
