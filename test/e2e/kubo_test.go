//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"testing"
)

// kubo is a Kubo daemon with a repository of its own and no peers.
type kubo struct {
	ipfs    command // the client, with its repository
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
	k := &kubo{ipfs: append(command{"env", "IPFS_PATH=" + repo, "IPFS_TELEMETRY=off"}, binary...)}
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
