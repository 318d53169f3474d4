//go:build e2e && linux

// Images from machine to machine, without a registry or a gateway between them.

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/image2ipfs/image2ipfs/ref"
)

// TestPeers pulls from a publisher to one machine and from there to the next,
// after the publisher has gone: by engines that run what they got, and by
// image2ipfs itself.
func TestPeers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	publisher, second, third := l.machine(t), l.machine(t), l.machine(t)
	plain := publisher.published(t, "plain.crane.tar")
	large := publisher.published(t, "big.docker20.tar")
	publisher.serving(t, "--swarm-listen", listenOn)

	second.serving(t, "--peers", publisher.address(t), "--swarm-listen", listenOn)
	second.connected(t, publisher.id(t), "image2ipfs")
	runs(t, second, plain)
	pinned(t, second, large, publisher)
	publisher.server.stop(t)

	third.serving(t, "--peers", second.address(t), "--swarm-listen", listenOn)
	third.connected(t, second.id(t), "image2ipfs")
	runs(t, third, plain)
	third.wantPulled(t, large, "--peers", second.address(t))
	pinned(t, third, large, second)
	second.server.stop(t)
	third.wantPulled(t, large)
}

// pinned has a machine fetch a whole image from another and keep it.
func pinned(t *testing.T, m *machine, name string, from *machine) {
	t.Helper()
	if _, err := m.command().output(deadline(t), "pin", "add", "-q", "--peers", from.address(t), name); err != nil {
		t.Fatal(err)
	}
}

// runs lets an engine on a machine pull an image by way of the machine's own
// server, and run it.
func runs(t *testing.T, m *machine, name string) {
	t.Helper()
	engine := m.containerd(t)
	from := registryAddr + "/" + name
	if _, err := engine.ctr.output(deadline(t), "images", "pull", "--plain-http", tagged(from)); err != nil {
		t.Fatalf("%v\n%s", err, m.server.lastLines())
	}
	if text, err := engine.Cat(deadline(t), from, "/etc/message"); err != nil || text != "plain" {
		t.Errorf("%s says %q, want plain (%v)", m.m.IP, text, err)
	}
}

// TestPeersFindEachOther lets machines of one network find each other without
// an address.
func TestPeersFindEachOther(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	publisher, puller := l.machine(t), l.machine(t)
	name := publisher.published(t, "plain.crane.tar")
	publisher.serving(t, "--mdns")
	puller.serving(t, "--mdns")
	puller.connected(t, publisher.id(t), "image2ipfs")
	puller.wantPulled(t, name, "--mdns")
}

// TestPeersFetchForThisMachine is what the README says: serve --mdns on every
// machine, publish on one, pull from localhost on another; and who asks that other
// from elsewhere is told the flag that is missing.
func TestPeersFetchForThisMachine(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	publisher, puller, third := l.machine(t), l.machine(t), l.machine(t)
	image := publisher.layerOf(t)
	publisher.server = publisher.serve(t, ":5000", "--mdns")
	puller.server = puller.serve(t, ":5000", "--mdns")
	puller.connected(t, publisher.id(t), "image2ipfs")

	refused, err := image.from(third.client, puller.m.IP+":5000", "bytes=0-")
	if err != nil || refused.StatusCode != http.StatusNotFound || !strings.Contains(refused.body, "--open") {
		t.Errorf("from elsewhere: %+v, %v", refused, err)
	}
	if _, err := image.from(puller.client, "localhost:5000", ""); err != nil {
		t.Errorf("from its own machine: %v\n%s", err, puller.server.lastLines())
	}
	if _, err := image.from(third.client, puller.m.IP+":5000", ""); err != nil {
		t.Errorf("from elsewhere, what is here by now: %v", err)
	}

	open := third.serve(t, ":5000", "--mdns", "--open")
	third.server = open
	third.connected(t, publisher.id(t), "image2ipfs")
	if _, err := image.from(publisher.client, third.m.IP+":5000", ""); err != nil {
		t.Errorf("from elsewhere, with --open: %v\n%s", err, open.lastLines())
	}
}

// TestPeersWithKubo has Kubo take part on equal terms, both ways.
func TestPeersWithKubo(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ours, other := l.machine(t), l.machine(t)
	k := startKuboOn(t, other)
	name := ours.published(t, "big.docker20.tar")
	ours.serving(t, "--peers", k.address, "--swarm-listen", listenOn)
	ours.connected(t, k.id, "bitswap")

	// Kubo gets what is published here …
	parsed, err := ref.ParseName(name)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "layout")
	if _, err := k.ipfs.output(deadline(t), "get", "-o", dir, parsed.Root.String()); err != nil {
		t.Fatal(err)
	}
	wantLayout(t, dir, name)

	// … and what is published on Kubo is pulled here.
	there := other.published(t, "plain.crane.tar", "--api", k.api)
	runs(t, ours, there)
}

// kuboNode is a Kubo daemon on a machine.
type kuboNode struct {
	ipfs             command
	api, id, address string
}

func startKuboOn(t *testing.T, m *machine) kuboNode {
	t.Helper()
	binary := commandFor("kubo")
	if binary == nil {
		missing(t, "kubo", "not built (hack/engines.sh tools builds it)")
		t.SkipNow()
	}
	repo := filepath.Join(t.TempDir(), "repo")
	k := kuboNode{api: "http://127.0.0.1:5001"}
	k.ipfs = append(append(command(m.m.Prefix()), "env", "IPFS_PATH="+repo, "IPFS_TELEMETRY=off"), binary...)
	for _, args := range [][]string{
		{"init", "--profile=test,autoconf-off"},
		{"config", "Routing.Type", "none"},
		{"config", "Addresses.API", "/ip4/127.0.0.1/tcp/5001"},
		{"config", "Addresses.Gateway", "/ip4/127.0.0.1/tcp/8080"},
		{"config", "--json", "Addresses.Swarm", `["` + listenOn + `"]`},
	} {
		if _, err := k.ipfs.output(deadline(t), args...); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.Create(repo + ".log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	daemon := m.m.Command(t.Context(), append(slices.Clone(k.ipfs[len(m.m.Prefix()):]), "daemon")...)
	k.ipfs = append(k.ipfs, "--api", "/ip4/127.0.0.1/tcp/5001") // else it would go on without the daemon
	daemon.Stdout, daemon.Stderr = log, log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Kill()
		_ = daemon.Wait() // killed
	})
	eventually(t, "Kubo's API", func() (err error) {
		k.id, err = k.ipfs.output(deadline(t), "id", "-f", "<id>")
		return err
	})
	k.address = fmt.Sprintf("/ip4/%s/tcp/%s/p2p/%s", m.m.IP, swarmPort, k.id)
	return k
}

// TestPeersPrivate keeps out who has no swarm key.
func TestPeersPrivate(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	publisher, member, stranger := l.machine(t), l.machine(t), l.machine(t)
	key := filepath.Join(t.TempDir(), "swarm.key")
	text := "/key/swarm/psk/1.0.0/\n/base16/\n" + strings.Repeat("5a", 32) + "\n"
	if err := os.WriteFile(key, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	name := publisher.published(t, "plain.crane.tar")
	publisher.serving(t, "--swarm-listen", listenOn, "--swarm-key", key)

	member.serving(t, "--peers", publisher.address(t), "--swarm-listen", listenOn, "--swarm-key", key)
	member.connected(t, publisher.id(t), "image2ipfs")
	member.wantPulled(t, name, "--peers", publisher.address(t), "--swarm-key", key)

	stranger.serving(t, "--peers", publisher.address(t), "--swarm-listen", listenOn)
	dir := filepath.Join(t.TempDir(), "layout")
	if out, err := stranger.command().output(deadline(t), "pull", "--to", "oci:"+dir, "--peers", publisher.address(t), name); err == nil {
		t.Errorf("who has no key has pulled: %s", out)
	}
	known, err := publisher.peers(t)
	if err != nil || len(known) != 1 || known[member.id(t)] == nil {
		t.Errorf("the publisher's peers are %v (%v), want %s alone", known, err, member.id(t))
	}
}

// TestPeersDHT finds a publisher in a DHT of four machines, of which the puller
// knows only one that has nothing.
func TestPeersDHT(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	entry, bystander, publisher, puller := l.machine(t), l.machine(t), l.machine(t), l.machine(t)
	name := publisher.published(t, "plain.crane.tar")
	by := entry.address(t)
	for _, m := range []*machine{entry, bystander, publisher, puller} {
		args := []string{"--swarm-listen", listenOn}
		if m == entry { // a DHT begins with two who know each other
			args = append(args, "--bootstrap", bystander.address(t))
		} else {
			args = append(args, "--bootstrap", by)
		}
		m.serving(t, args...)
	}
	puller.connected(t, entry.id(t), "image2ipfs")
	engine := puller.containerd(t)
	eventually(t, "the pull of what was announced", func() error {
		_, err := engine.ctr.output(deadline(t), "images", "pull", "--plain-http", tagged(registryAddr+"/"+name))
		return err
	})
}

// TestNothingListens looks at what a server can be reached by: its registry,
// where --addr says, and nothing else until peers are asked for.
func TestNothingListens(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		addr string
		args []string
		want string
	}{
		{"127.0.0.1:5000", nil, "tcp 127.0.0.1:5000"},
		{":5000", nil, "tcp *:5000"},
		{"127.0.0.1:5000", []string{"--swarm-listen", "/ip4/127.0.0.1/tcp/4001"}, "tcp 127.0.0.1:4001, tcp 127.0.0.1:5000"},
	} {
		m := newLab(t).machine(t)
		m.server = m.serve(t, test.addr, test.args...)
		if got := listening(t, m); got != test.want {
			t.Errorf("serve --addr %s %v listens on %s, want %s", test.addr, test.args, got, test.want)
		}
	}
}

// listening lists the sockets of a machine that others could reach, sorted: ss
// prints them in the order of the kernel's hash table.
func listening(t *testing.T, m *machine) string {
	t.Helper()
	text, err := command(m.m.Prefix()).output(deadline(t), "ss", "-H", "-l", "-n", "-t", "-u")
	if err != nil {
		missing(t, "what listens", err.Error())
		t.SkipNow()
	}
	var found []string
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 4 {
			found = append(found, f[0]+" "+f[4])
		}
	}
	slices.Sort(found)
	return strings.Join(found, ", ")
}
