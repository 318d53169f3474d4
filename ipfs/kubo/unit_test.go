package kubo

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// The API's address comes in every spelling that Kubo and its users know.
func TestParseAddress(t *testing.T) {
	for in, want := range map[string]string{
		"http://127.0.0.1:5001":            "http://127.0.0.1:5001",
		"http://127.0.0.1:5001/api/v0/":    "http://127.0.0.1:5001",
		"https://u:secret@kubo.example/x":  "https://xxxxx@kubo.example/x",
		"localhost:5001":                   "http://localhost:5001",
		"[::1]:5001":                       "http://[::1]:5001",
		"/ip4/127.0.0.1/tcp/5001\n":        "http://127.0.0.1:5001",
		"/ip6/::1/tcp/5001":                "http://[::1]:5001",
		"/dns4/kubo.example/tcp/443/https": "https://kubo.example:443",
		"/unix/run/ipfs.sock":              "unix:/run/ipfs.sock",
	} {
		if a, err := parseAddress(in); err != nil || a.String() != want {
			t.Errorf("%q: %s, %v; want %s", in, a, err, want)
		}
	}
	for _, in := range []string{"", "localhost", ":5001", "ftp://a:1", "http://", "http://a/?x=1", "/ip4/1.2.3.4", "/ip4/1.2.3.4/udp/1", "/nonsense"} {
		if a, err := parseAddress(in); err == nil {
			t.Errorf("%q is taken as %s", in, a)
		} else if !strings.Contains(err.Error(), "http://127.0.0.1:5001") {
			t.Errorf("%q: error %q does not say how to write it", in, err)
		}
	}
}

// Nothing may be guessed: images would land in another store from one day to the next.
func TestFromEnvironment(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("IPFS_API", "")
	t.Setenv("IPFS_PATH", "")
	live := fakeKubo(t, nil)
	if err := os.Mkdir(filepath.Join(home, ".ipfs"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".ipfs", "api"), []byte(live), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(flag, want string) {
		t.Helper()
		if got, ok, err := FromEnvironment(flag, Credentials{}); err != nil || got != want || ok != (want != "") {
			t.Errorf("got %q, %t; want %q", got, ok, want)
		}
	}
	check("", "")
	t.Setenv("IPFS_PATH", "~/.ipfs")
	check("", live)
	t.Setenv("IPFS_PATH", t.TempDir())
	check("", "")
	t.Setenv("IPFS_API", "env:1")
	check("", "env:1")
	check("flag:1", "flag:1")
}

// Who forgot to start Kubo, or gave another port, has to learn what to do.
func TestDialErrors(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, "<html>no</html>")
	}))
	defer page.Close()
	notFound := httptest.NewServer(http.NotFoundHandler())
	defer notFound.Close()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") }))
	defer other.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	for api, hint := range map[string]string{
		closed:       "ipfs daemon",
		page.URL:     "ipfs config Addresses.API",
		notFound.URL: "ipfs config Addresses.API",
		other.URL:    "ipfs config Addresses.API",
	} {
		_, err := Dial(t.Context(), api, Credentials{})
		if !errors.Is(err, ipfs.ErrUnavailable) || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %v; want ErrUnavailable with %q", api, err, hint)
		}
		t.Log(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dial(ctx, closed, Credentials{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// The API may listen on a unix socket.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Skipf("no unix sockets here: %v", err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"Version":"0.42.0"}`)
	})}
	go s.Serve(l)
	defer s.Close()
	e, err := Dial(t.Context(), "/unix"+path, Credentials{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if want := "Kubo 0.42.0 at unix:" + path; e.String() != want {
		t.Errorf("String() = %q, want %q", e, want)
	}
}

// Names have to come back from pins as they went in, as far as Kubo lets them.
func TestPinNames(t *testing.T) {
	long := strings.Repeat("n", 300)
	for _, tc := range []struct {
		names, want []string
	}{
		{nil, nil},
		{[]string{"app:1"}, []string{"app:1"}},
		{[]string{"app:1", "quay.io/b:2"}, []string{"app:1", "quay.io/b:2"}},
		{[]string{"app:1", long}, []string{"app:1"}},
		{[]string{long}, []string{long[:maxPinName-len(pinPrefix)]}},
		{[]string{strings.Repeat("ä", 200)}, []string{strings.Repeat("ä", 122)}},
		{slices.Repeat([]string{"a:1"}, 100), slices.Repeat([]string{"a:1"}, 61)},
	} {
		pin := pinName(tc.names, false)
		if len(pin) > maxPinName {
			t.Errorf("%q: %d bytes", pin, len(pin))
		}
		if got, pushed, ours := parsePin(pin); !ours || pushed || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%q: %q, pushed %t, ours %t; want %q", tc.names, got, pushed, ours, tc.want)
		}
	}
	for _, names := range [][]string{nil, {"app:1"}, {"app:1", "b:2"}} {
		if got, pushed, ours := parsePin(pinName(names, true)); !ours || !pushed || !reflect.DeepEqual(got, names) {
			t.Errorf("pushed as %q: %q, pushed %t, ours %t", names, got, pushed, ours)
		}
	}
	for _, foreign := range []string{"mine", "", holdName(ipfs.Key{Kind: "tag", Space: "app", Name: "1"})} {
		if _, _, ours := parsePin(foreign); ours {
			t.Errorf("pin %q is taken for a root of ours", foreign)
		}
	}
}

// Kubo's wildcard and localhost addresses are none that stores can pull from.
func TestGatewayURL(t *testing.T) {
	for _, tc := range [][3]string{
		{"http://127.0.0.1:5001", "/ip4/127.0.0.1/tcp/8080", "http://127.0.0.1:8080"},
		{"http://127.0.0.1:5001", "/ip4/0.0.0.0/tcp/8080", "http://127.0.0.1:8080"},
		{"http://127.0.0.1:5001", "/ip6/::/tcp/8080", "http://127.0.0.1:8080"},
		{"http://localhost:5001", "/dns4/localhost/tcp/8080", "http://127.0.0.1:8080"},
		{"http://10.0.0.5:5001", "/ip4/0.0.0.0/tcp/8080", "http://10.0.0.5:8080"},
		{"http://10.0.0.5:5001", "/ip4/10.0.0.6/tcp/8080", "http://10.0.0.6:8080"},
	} {
		api, err := parseAddress(tc[0])
		if err != nil {
			t.Fatal(err)
		}
		if got, err := (&Store{api: api}).gatewayURL(tc[1]); err != nil || got != tc[2] {
			t.Errorf("API %s, gateway %s: %s, %v; want %s", tc[0], tc[1], got, err, tc[2])
		}
	}
}
