//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// kubo is a Kubo daemon with a repository of its own and no peers.
type kubo struct {
	ipfs    command // the client, with its repository
	repo    string
	api     string
	gateway string
}

// startKubo starts a daemon that ends with the test, after a command of the client
// that configures it, if one is given. Its profile keeps it off the network: no
// bootstrap, discovery, routing, configuration or telemetry.
func startKubo(t *testing.T, configure ...string) *kubo {
	t.Helper()
	binary := commandFor("kubo")
	if binary == nil {
		missing(t, "kubo", "not built (hack/engines.sh tools builds it)")
		t.SkipNow()
	}
	repo := filepath.Join(t.TempDir(), "repo")
	k := &kubo{repo: repo, ipfs: append(command{"env", "IPFS_PATH=" + repo, "IPFS_TELEMETRY=off"}, binary...)}
	k.configure(t)
	if len(configure) > 0 {
		if _, err := k.ipfs.output(deadline(t), configure...); err != nil {
			t.Fatal(err)
		}
	}
	version, err := k.ipfs.output(deadline(t), "version")
	if err != nil {
		t.Fatal(err)
	}
	results.version("kubo", version)

	argv := append(append(command{}, k.ipfs...), "daemon")
	daemon := start(t, argv, repo+".log", func(context.Context) error { return post(k.api + "/api/v0/version") })
	t.Cleanup(func() {
		if err := daemon.Stop(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// configure makes the repository; its ports are ours to choose, since the
// server asks Kubo where its gateway is.
func (k *kubo) configure(t *testing.T) {
	t.Helper()
	api, gateway := freeAddr(t), freeAddr(t)
	for _, args := range [][]string{
		{"init", "--profile=test,autoconf-off"},
		{"config", "Routing.Type", "none"},
		{"config", "Addresses.API", multiaddr(api)},
		{"config", "Addresses.Gateway", multiaddr(gateway)},
	} {
		if _, err := k.ipfs.output(deadline(t), args...); err != nil {
			t.Fatal(err)
		}
	}
	k.api, k.gateway = "http://"+api, "http://"+gateway
}

// multiaddr spells host:port as Kubo's configuration does.
func multiaddr(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	return "/ip4/" + host + "/tcp/" + port
}

// post calls an endpoint of Kubo's API.
func post(url string) error {
	resp, err := http.Post(url, "", nil)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusForbidden { // it asks for a password
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

// TestKuboAsks publishes on a Kubo that asks for a token or a password, which are given
// by flag, environment and file; without them nothing lands anywhere else.
func TestKuboAsks(t *testing.T) {
	t.Parallel()
	k := startKubo(t, "config", "--json", "API.Authorizations",
		`{"ci": {"AuthSecret": "bearer:sesame", "AllowedPaths": ["/api/v0"]}, "alice": {"AuthSecret": "basic:alice:open", "AllowedPaths": ["/api/v0"]}}`)
	file := filepath.Join(t.TempDir(), "auth")
	if err := os.WriteFile(file, []byte("basic:alice:open\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newProgram(t)
	publish := func(environment []string, args ...string) error {
		c := append(append(command{"env"}, "IMAGE2IPFS_PATH="+p.store), environment...)
		_, err := append(c, p.binary).output(deadline(t), append([]string{"publish", "-q", archivePath(t, "plain.crane.tar")}, args...)...)
		return err
	}
	for name, err := range map[string]error{
		"a token by flag":               publish(nil, "--api", k.api, "--api-auth", "bearer:sesame"),
		"a password by file":            publish(nil, "--api", k.api, "--api-auth", "@"+file),
		"a token by environment":        publish([]string{"IPFS_API=" + k.api, "IPFS_API_AUTH=bearer:sesame"}),
		"a password's file by variable": publish([]string{"IPFS_PATH=" + k.repo, "IPFS_API_AUTH=@" + file}),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"IPFS_PATH alone": publish([]string{"IPFS_PATH=" + k.repo}),
		"a false token":   publish([]string{"IPFS_PATH=" + k.repo, "IPFS_API_AUTH=bearer:sesam"}),
		"a false flag":    publish(nil, "--api", k.api, "--api-auth", "basic:alice:closed"),
	} {
		if err == nil || !strings.Contains(err.Error(), "--api-auth") {
			t.Errorf("%s: %v, expected it to say what is missing", name, err)
		}
	}
	if _, err := os.Stat(p.store); !os.IsNotExist(err) {
		t.Errorf("%s is there (%v): something was published in the embedded store", p.store, err)
	}
}
