package kubo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/image2ipfs/image2ipfs/internal/redact"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// address is where an RPC API listens.
type address struct {
	url    string // http or https, without a trailing slash
	socket string // path of a unix socket, "" for TCP
}

// String is the address for humans, without user and password.
func (a address) String() string {
	if a.socket != "" {
		return "unix:" + a.socket
	}
	return redact.URL(a.url)
}

// host is the name or address of the machine.
func (a address) host() string {
	u, err := url.Parse(a.url)
	if err != nil || a.socket != "" {
		return "127.0.0.1"
	}
	return u.Hostname()
}

// CheckAddress tells what is wrong with the address of an RPC API, and asks nobody.
func CheckAddress(api string) error {
	_, err := parseAddress(api)
	return err
}

// parseAddress understands URLs, host:port and multiaddrs.
func parseAddress(api string) (address, error) {
	api = strings.TrimSpace(api)
	wrong := func(why any) (address, error) {
		return address{}, fmt.Errorf("Kubo API address %q: %v; write it as http://127.0.0.1:5001, 127.0.0.1:5001 or /ip4/127.0.0.1/tcp/5001", redact.URL(api), why)
	}
	switch {
	case strings.HasPrefix(api, "/"):
		a, err := parseMultiaddr(api)
		if err != nil {
			return wrong(err)
		}
		return a, nil
	case strings.Contains(api, "://"):
		u, err := url.Parse(api)
		if err != nil {
			return wrong("not an URL")
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return wrong("neither http:// nor https:// with a host")
		}
		if u.RawQuery != "" || u.Fragment != "" {
			return wrong("an URL with a query or fragment")
		}
		u.Path = strings.TrimRight(u.Path, "/")
		u.Path = strings.TrimSuffix(u.Path, "/api/v0")
		return address{url: u.String()}, nil
	}
	host, port, err := net.SplitHostPort(api)
	if err != nil {
		return wrong(err)
	}
	if host == "" || port == "" {
		return wrong("host or port is missing")
	}
	return address{url: "http://" + net.JoinHostPort(host, port)}, nil
}

func parseMultiaddr(s string) (address, error) {
	m, err := ma.NewMultiaddr(s)
	if err != nil {
		return address{}, err
	}
	network, host, err := manet.DialArgs(m)
	if err != nil {
		return address{}, err
	}
	switch {
	case network == "unix":
		return address{url: "http://unix", socket: host}, nil
	case !strings.HasPrefix(network, "tcp"):
		return address{}, fmt.Errorf("it is %s, not TCP", network)
	}
	scheme := "http"
	for _, p := range m.Protocols() {
		if p.Code == ma.P_HTTPS || p.Code == ma.P_TLS {
			scheme = "https"
		}
	}
	return address{url: scheme + "://" + host}, nil
}

// FromEnvironment tells whether the user asked for Kubo, and where its API is:
// flag if it is not empty, else $IPFS_API, else what the file "api" in
// $IPFS_PATH says, provided that IPFS_PATH is set and a daemon runs. One that runs
// and refuses, or hangs, was asked for, too: what it says is [Dial]'s error, and
// never a reason to take another store. Nothing is guessed: ~/.ipfs is not looked
// at, since images would land in another store from one day to the next.
func FromEnvironment(flag string, c Credentials) (api string, ok bool, err error) {
	if flag != "" {
		return flag, true, nil
	}
	if api = os.Getenv("IPFS_API"); api != "" {
		return api, true, nil
	}
	dir := os.Getenv("IPFS_PATH")
	if dir == "" {
		return "", false, nil
	}
	if rest, found := strings.CutPrefix(dir, "~/"); found {
		if home, err := os.UserHomeDir(); err == nil {
			dir = filepath.Join(home, rest)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "api"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil // no daemon runs
	}
	if err != nil {
		return "", false, fmt.Errorf("%w: whether Kubo runs in IPFS_PATH: %w", ipfs.ErrUnavailable, err)
	}
	api = strings.TrimSpace(string(data))
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	e, err := Dial(ctx, api, c)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) { // left by a daemon that has crashed
		return "", false, nil
	}
	if err == nil {
		err = e.Close()
	}
	return api, true, err
}
