//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/image2ipfs/image2ipfs/test/process"
)

// clusterPeer is a peer of an IPFS Cluster and the Kubo beside it.
type clusterPeer struct {
	kubo    *kubo
	proxy   string // URL
	service string // URL of the pinning service
	swarm   string // multiaddr with the ID
	daemon  *process.Process
}

// clusterLogin is what the pinning services of the test ask for.
const clusterLogin = "tester:sesame"

// startCluster starts three peers, of which two keep each pin.
func startCluster(t *testing.T) []*clusterPeer {
	t.Helper()
	binary := extra(t, "cluster")
	const secret = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20" // of this test alone
	var peers []*clusterPeer
	for i := range 3 {
		p := &clusterPeer{kubo: startKubo(t)}
		dir := filepath.Join(t.TempDir(), "cluster")
		proxy, service, swarm := freeAddr(t), freeAddr(t), freeAddr(t)
		p.proxy, p.service = "http://"+proxy, "http://"+service
		node := multiaddr(strings.TrimPrefix(p.kubo.api, "http://"))
		c := append(command{
			"env", "IPFS_CLUSTER_PATH=" + dir, "CLUSTER_SECRET=" + secret, fmt.Sprint("CLUSTER_PEERNAME=peer", i),
			"CLUSTER_LISTENMULTIADDRESS=" + multiaddr(swarm), "CLUSTER_REPLICATIONFACTORMIN=1", "CLUSTER_REPLICATIONFACTORMAX=2",
			"CLUSTER_MDNSINTERVAL=0s", "CLUSTER_MONITORPINGINTERVAL=1s", "CLUSTER_PEERWATCHINTERVAL=1s",
			"CLUSTER_CRDT_TRUSTEDPEERS=*", "CLUSTER_CRDT_REBROADCASTINTERVAL=1s", "CLUSTER_PUBSUBMON_CHECKINTERVAL=1s",
			"CLUSTER_IPFSHTTP_NODEMULTIADDRESS=" + node, "CLUSTER_IPFSPROXY_NODEMULTIADDRESS=" + node,
			"CLUSTER_IPFSPROXY_LISTENMULTIADDRESS=" + multiaddr(proxy), "CLUSTER_RESTAPI_HTTPLISTENMULTIADDRESS=" + multiaddr(freeAddr(t)),
			"CLUSTER_PINSVCAPI_HTTPLISTENMULTIADDRESS=" + multiaddr(service), "CLUSTER_PINSVCAPI_BASICAUTHCREDENTIALS=" + clusterLogin,
		}, binary...)
		if _, err := c.output(deadline(t), "init", "--consensus", "crdt"); err != nil {
			t.Fatal(err)
		}
		var identity struct {
			ID string `json:"id"`
		}
		data, err := os.ReadFile(filepath.Join(dir, "identity.json"))
		if err == nil {
			err = json.Unmarshal(data, &identity)
		}
		if err != nil {
			t.Fatal(err)
		}
		p.swarm = multiaddr(swarm) + "/p2p/" + identity.ID
		argv := append(c, "daemon")
		if i > 0 {
			argv = append(argv, "--bootstrap", peers[0].swarm)
		}
		p.daemon = startDaemon(t, argv)
		eventually(t, "proxy of a cluster", func() error { return post(p.proxy + "/api/v0/pin/ls?stream=true") })
		for _, other := range peers {
			connectKubos(t, p.kubo, other.kubo)
		}
		peers = append(peers, p)
	}
	return peers
}

func connectKubos(t *testing.T, a, b *kubo) {
	t.Helper()
	out, err := b.ipfs.output(deadline(t), "id", "-f", "<addrs>")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.ipfs.output(deadline(t), "swarm", "connect", strings.Fields(out)[0]); err != nil {
		t.Fatal(err)
	}
}

// keepers are the peers whose Kubo has a root pinned.
func keepers(t *testing.T, peers []*clusterPeer, cid string) (at []int) {
	t.Helper()
	for i, p := range peers {
		if out, err := p.kubo.ipfs.output(deadline(t), "pin", "ls", "--type", "recursive", "-q"); err == nil && strings.Contains(out, cid) {
			at = append(at, i)
		}
	}
	return at
}

// TestCluster publishes through the proxy of one peer of a Cluster, and lists, pulls and
// removes through others, also when one is gone.
func TestCluster(t *testing.T) {
	peers := startCluster(t)
	p := newProgram(t)
	lines, err := p.publish(deadline(t), archivePath(t, "plain.crane.tar"), false, "-q", "--api", peers[0].proxy)
	if err != nil || len(lines) != 1 {
		t.Fatalf("published %q: %v", lines, err)
	}
	name := lines[0][strings.Index(lines[0], "/")+1:]
	run := func(at *clusterPeer, args ...string) string {
		t.Helper()
		out, err := p.command().output(deadline(t), append(args, "--api", at.proxy)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	cid := run(peers[0], "ref", "-f", "cidv1", name)
	eventually(t, "two keep the image", func() error {
		if at := keepers(t, peers, cid); len(at) != 2 {
			return fmt.Errorf("peers %v keep it", at)
		}
		return nil
	})
	eventually(t, "all list it", func() error {
		for _, at := range peers {
			if out, err := p.command().output(deadline(t), "ls", "-q", "--api", at.proxy); err != nil || !strings.HasPrefix(name, out) || out == "" {
				return fmt.Errorf("%s lists %q: %v", at.proxy, out, err)
			}
		}
		return nil
	})

	gone := keepers(t, peers, cid)[0]
	if err := peers[gone].daemon.Stop(); err != nil {
		t.Log(err)
	}
	if _, err := peers[gone].kubo.ipfs.output(deadline(t), "shutdown"); err != nil {
		t.Fatal(err)
	}
	for i, at := range peers {
		if i == gone {
			continue
		}
		run(at, "pull", "-q", "--to", "oci:"+filepath.Join(t.TempDir(), "image"), name)
		addr := freeAddr(t)
		p.serve(t, addr, "--api", at.proxy)
		crane := commandFor("crane")
		if _, err := crane.output(deadline(t), "pull", addr+"/"+name, filepath.Join(t.TempDir(), "image.tar")); err != nil {
			t.Errorf("through peer %d, while peer %d is gone: %v", i, gone, err)
		}
	}
	last := peers[(gone+1)%3]
	run(last, "rm", name)
	if out := run(last, "ls", "-q"); out != "" {
		t.Errorf("after rm it lists %q", out)
	}
	results.progress("an image in a Cluster outlives a peer")
}

// TestClusterService has the pinning service of a Cluster keep what lies in the embedded
// store, and says what is wrong when it does not.
func TestClusterService(t *testing.T) {
	peers := startCluster(t)
	p := newProgram(t)
	dir := t.TempDir()
	addr := freeAddr(t)
	lines, err := p.publish(deadline(t), archivePath(t, "plain.crane.tar"), false, "-q", "-r", addr)
	if err != nil || len(lines) != 1 {
		t.Fatalf("published %q: %v", lines, err)
	}
	name := lines[0][strings.Index(lines[0], "/")+1:]
	exits := func(code int, says string, args ...string) string {
		t.Helper()
		argv := append(p.command(), args...)
		out, err := exec.CommandContext(deadline(t), argv[0], argv[1:]...).CombinedOutput()
		got := 0
		if failed := new(exec.ExitError); errors.As(err, &failed) {
			got = failed.ExitCode()
		}
		if got != code || !strings.Contains(string(out), says) || strings.Contains(string(out), "eyJ") {
			t.Errorf("%s: exit code %d, want %d and %q: %s", strings.Join(args, " "), got, code, says, out)
		}
		return string(out)
	}
	token := func(file, text string) string {
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	exits(0, "", "service", "add", "wrong", peers[0].service, "--token-file", token("wrong", "eyJ.wrong.token"))
	exits(1, "the token is refused by wrong", "pin", "add", "--service", "wrong", name)
	exits(0, "", "service", "add", "cluster", peers[0].service, "--token-file", token("right", clusterToken(t, peers[0].service)))

	// Nobody has it for them: it stays queued or is being looked for, and can be taken back.
	exits(0, "no server with peers runs", "pin", "add", "--service", "cluster", "--no-wait", name)
	exits(0, "", "pin", "rm", "--service", "cluster", name)

	p.serve(t, addr, "--swarm-listen", "/ip4/127.0.0.1/tcp/0")
	exits(0, "pinned", "pin", "add", "--service", "cluster", name)
	exits(0, "pinned", "pin", "ls", "--service", "cluster")
	out, err := p.command().output(deadline(t), "ref", "-f", "cidv1", name)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "two keep the image", func() error {
		if at := keepers(t, peers, out); len(at) != 2 {
			return fmt.Errorf("peers %v keep it", at)
		}
		return nil
	})
	if err := peers[0].daemon.Stop(); err != nil {
		t.Log(err)
	}
	exits(5, "does not answer", "pin", "ls", "--service", "cluster")
	exits(0, "", "service", "add", "another", peers[1].service, "--token-file", token("another", clusterToken(t, peers[1].service)))
	exits(0, name[:10], "pin", "ls", "--service", "another")
	results.progress("a Cluster keeps what lies in the embedded store")
}

// clusterToken asks a pinning service for a token.
func clusterToken(t *testing.T, service string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(deadline(t), http.MethodPost, service+"/token", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	user, password, _ := strings.Cut(clusterLogin, ":")
	r.SetBasicAuth(user, password)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Token == "" {
		t.Fatalf("%s: no token: %v", resp.Status, err)
	}
	return answer.Token
}
