package websafe

import (
	"net"
	"net/http/httptest"
	"testing"
)

// What a page can make a browser send as Host must not pass for this machine, and
// what engines and people send must.
func TestIsLocalHost(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "localhost:5000": true, "LOCALHOST.:80": true, "127.0.0.1": true, "127.0.0.1:5000": true, "127.9.9.9:1": true,
		"[::1]": true, "[::1]:5000": true, "[::ffff:127.0.0.1]:80": true, "": true, "registry.test:5000": true, "Registry.Test": true,
		"evil.test": false, "evil.test:5000": false, "127.0.0.1.evil.test": false, "localhost.evil.test": false, "xlocalhost": false,
		"192.0.2.1": false, "[2001:db8::1]:5000": false, "0.0.0.0": false, "0x7f000001": false, "2130706433": false, "127.1": false, "x": false,
	} {
		if got := IsLocalHost(host, "registry.test"); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

func FuzzIsLocalHost(f *testing.F) {
	for _, host := range []string{"localhost:1", "[::1]:", "127.0.0.1%25eth0", "[", "]:", "a.b.c.:x"} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if IsLocalHost(host) && IsLocalHost(host+".evil.test") && net.ParseIP(host) != nil {
			t.Errorf("%q below another name passes", host)
		}
	})
}

// A form or script of a foreign page must not write, and a program may.
func TestCheckOrigin(t *testing.T) {
	for _, c := range []struct {
		method, origin, site string
		refused              bool
	}{
		{"PUT", "", "", false}, {"PUT", "http://127.0.0.1:5000", "", false}, {"POST", "http://evil.test", "", true},
		{"DELETE", "null", "", true}, {"POST", "", "cross-site", true}, {"POST", "", "same-origin", false},
		{"GET", "http://evil.test", "cross-site", false},
	} {
		r := httptest.NewRequest(c.method, "http://127.0.0.1:5000/v2/", nil)
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if c.site != "" {
			r.Header.Set("Sec-Fetch-Site", c.site)
		}
		if err := CheckOrigin(r); (err != nil) != c.refused {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestIsLoopback(t *testing.T) {
	for addr, want := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "0.0.0.0:1": false, "[::]:1": false, "192.0.2.1:1": false} {
		tcp, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if IsLoopback(tcp) != want {
			t.Error(addr)
		}
	}
}

func TestIsHost(t *testing.T) {
	for text, want := range map[string]bool{
		"gateway.local": true, "Gateway.local.": true, "registry": true, "my_host-1": true, "192.0.2.1": true, "[::1]": true, "fe80::1": true,
		"": false, ".": false, "gateway.local:5000": false, "http://gateway.local": false, "a b": false, "a/b": false, "-a": false, "a..b": false, "*.local": false,
	} {
		if IsHost(text) != want {
			t.Errorf("%q", text)
		}
	}
}
