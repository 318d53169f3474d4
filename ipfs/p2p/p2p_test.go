package p2p

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// get sends a request to the only peer of a node.
func get(t *testing.T, n *Node, path string) string {
	t.Helper()
	peers := n.Peers()
	if len(peers) != 1 {
		t.Fatalf("%d peers speak %s, want 1", len(peers), Protocol)
	}
	client := http.Client{Transport: peers[0]}
	r, err := client.Get("http://peer/" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// Nodes reach each other's handler, whichever of them dialed, and the handler
// knows who asks.
func TestHTTPBothWays(t *testing.T) {
	for _, transport := range []string{loopback, "/ip4/127.0.0.1/udp/0/quic-v1"} {
		t.Run(strings.Split(transport, "/")[3], func(t *testing.T) {
			a := start(t, Config{Listen: []string{transport}, Handler: hello})
			b := start(t, Config{Peers: a.Addrs(), Handler: hello})
			ready(t, b)
			for range 3 {
				if got, want := get(t, b, "x?y=1"), b.ID()+" asked for x?y=1"; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
			await(t, "the latency is known", func() bool { return b.Connected()[0].Latency > 0 })
			await(t, "a knows that b speaks the protocol", func() bool { return len(a.Peers()) == 1 })
			if got, want := get(t, a, "z"), a.ID()+" asked for z"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// Without a handler a node is no peer of those who speak the protocol.
func TestSilentNodeIsNoPeer(t *testing.T) {
	a := start(t, listening(Config{}))
	b := start(t, Config{Peers: a.Addrs(), Handler: hello})
	ready(t, b)
	if len(b.Peers()) != 0 || !knows(b, a.ID()) {
		t.Errorf("peers %v, connected %v", b.Peers(), b.Connected())
	}
}

// Who gives up on an answer is not sent the rest of it, and the handler ends.
func TestAbandonedAnswerEnds(t *testing.T) {
	ended := make(chan error, 1)
	endless := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		chunk := make([]byte, 64<<10)
		for {
			if _, err := w.Write(chunk); err != nil {
				ended <- err
				return
			}
		}
	})
	a := start(t, listening(Config{Handler: func(*Node) http.Handler { return endless }}))
	b := start(t, Config{Peers: a.Addrs()})
	ready(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://peer/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := b.Peers()[0].RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	cancel()
	resp.Body.Close()
	select {
	case <-ended:
	case <-time.After(stalledWrite / 2):
		t.Error("the handler still writes")
	}
}

// A lost peer is an error at once, no new connection.
func TestLostPeer(t *testing.T) {
	a := start(t, listening(Config{Handler: hello}))
	b := start(t, Config{Peers: a.Addrs()})
	ready(t, b)
	lost := b.Peers()[0]
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, "b notices", func() bool { return len(b.Connected()) == 0 })
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://peer/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := lost.RoundTrip(r); err == nil {
		resp.Body.Close()
		t.Error("an answer from a closed node")
	}
	if len(b.Peers()) != 0 {
		t.Errorf("peers %v, want none", b.Peers())
	}
}

// More blocks than bitswap takes at once come, each once and as it is.
func TestBitswap(t *testing.T) {
	var have memory
	var cids []cid.Cid
	for i := range 700 {
		cids = append(cids, have.add(bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 1000)))
	}
	big := have.add(bytes.Repeat([]byte("big"), 350<<10))
	cids = append(cids, big)
	a := start(t, listening(Config{Blocks: &have}))
	b := start(t, Config{Peers: a.Addrs()})
	ready(t, b)
	got := map[cid.Cid]bool{}
	err := b.Blocks(t.Context(), cids, func(c cid.Cid, data []byte) error {
		got[c] = true
		return ipfs.VerifyBlock(c, data)
	})
	if err != nil || len(got) != len(cids) {
		t.Errorf("%d of %d blocks, %v", len(got), len(cids), err)
	}
}

// A block that nobody has is waited for until the caller gives up, and a caller
// that wants no more is obeyed.
func TestBitswapEnds(t *testing.T) {
	var have memory
	c := have.add([]byte("here"))
	a := start(t, listening(Config{Blocks: &have}))
	b := start(t, Config{Peers: a.Addrs()})
	ready(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	err := b.Blocks(ctx, []cid.Cid{c, rawCID([]byte("nowhere"))}, func(cid.Cid, []byte) error { return nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
	enough := errors.New("enough")
	if err := b.Blocks(t.Context(), []cid.Cid{c}, func(cid.Cid, []byte) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v, want %v", err, enough)
	}
}

// A block that is damaged in the store counts as missing there, so that who
// wants it is told to ask others.
func TestDamagedBlockIsNotGiven(t *testing.T) {
	var have memory
	c := have.add([]byte("right"))
	have.blocks[c] = []byte("wrong")
	if b, err := (view{&have}).Get(t.Context(), c); !errors.Is(err, ipfs.ErrCorrupt) {
		t.Errorf("got %v, %v; want %v", b, err, ipfs.ErrCorrupt)
	}
}

// A node that was given nothing to serve serves nothing.
func TestNothingIsServedUnlessGiven(t *testing.T) {
	a := start(t, listening(Config{}))
	b := start(t, Config{Peers: a.Addrs()})
	ready(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := b.Blocks(ctx, []cid.Cid{rawCID([]byte("x"))}, func(cid.Cid, []byte) error { return nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}

// Who speaks the faster protocol has been asked by that, so bitswap does not
// keep anybody waiting.
func TestNobodyToAskByBitswap(t *testing.T) {
	var have memory
	c := have.add([]byte("x"))
	a := start(t, listening(Config{Blocks: &have, Handler: hello}))
	b := start(t, Config{Peers: a.Addrs()})
	ready(t, b)
	err := b.Blocks(t.Context(), []cid.Cid{c}, func(cid.Cid, []byte) error { return nil })
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v, want %v", err, errors.ErrUnsupported)
	}
}

// swarmKey is a key in Kubo's format whose bytes are all b.
func swarmKey(b byte) []byte {
	return []byte("/key/swarm/psk/1.0.0/\n/base16/\n" + strings.Repeat(string([]byte{"0123456789abcdef"[b>>4], "0123456789abcdef"[b&15]}), 32) + "\n")
}

// Only who has the key gets in.
func TestSwarmKey(t *testing.T) {
	var have memory
	c := have.add([]byte("secret"))
	a := start(t, listening(Config{SwarmKey: swarmKey(1), Blocks: &have}))
	for name, test := range map[string]struct {
		key  []byte
		want bool
	}{"same": {swarmKey(1), true}, "other": {swarmKey(2), false}, "none": {nil, false}} {
		t.Run(name, func(t *testing.T) {
			b := start(t, Config{SwarmKey: test.key, Peers: a.Addrs()})
			err := b.Ready(t.Context())
			if !test.want {
				if !errors.Is(err, ipfs.ErrUnavailable) || !strings.Contains(err.Error(), a.ID()) || !strings.Contains(err.Error(), "swarm key") {
					t.Errorf("got %v, want %v that names the peer and the swarm key", err, ipfs.ErrUnavailable)
				}
				if len(b.Connected()) != 0 {
					t.Errorf("connected to %v", b.Connected())
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Blocks(t.Context(), []cid.Cid{c}, func(cid.Cid, []byte) error { return nil }); err != nil {
				t.Error(err)
			}
		})
	}
}

// A peer that has too many connections ends another without a word.
func TestBusyPeerIsTold(t *testing.T) {
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
			_ = c.Close() // as far as it gets
		}
	}()
	id := start(t, Config{}).ID()
	n := start(t, Config{Peers: []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/p2p/%s", l.Addr().(*net.TCPAddr).Port, id)}})
	if err := n.Ready(t.Context()); !errors.Is(err, ipfs.ErrUnavailable) || !strings.Contains(err.Error(), "as many connections as it takes") {
		t.Errorf("got %v, want %v that says that the peer may be busy", err, ipfs.ErrUnavailable)
	}
}

// A key that is in the wrong place, or written in a wrong way, must not be printed.
func TestSwarmKeyIsNotPrinted(t *testing.T) {
	key := strings.Repeat("5ec2e7", 10) + "abcd"
	for name, file := range map[string]string{
		"alone": key + "\n", "alone, without an end": key, "second": "/key/swarm/psk/1.0.0/\n" + key + "\n", "one line": "/key/swarm/psk/1.0.0/" + key + "\n",
		"short": "/key/swarm/psk/1.0.0/\n/base16/\n" + key[:40] + "\n", "no digits": "/key/swarm/psk/1.0.0/\n/base16/\nx" + key + "\n",
		"other encoding": "/key/swarm/psk/1.0.0/\n/" + key + "/\n" + key, "windows": "/key/swarm/psk/1.0.0/\r\n/base16/" + key + "\r\n",
	} {
		n, err := New(t.Context(), Config{SwarmKey: []byte(file)})
		if err == nil {
			n.Close()
			t.Errorf("%s: taken", name)
			continue
		}
		if !errors.Is(err, ErrConfig) || strings.Contains(err.Error(), "5ec2e7") || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What cannot be is refused, and the error names it.
func TestConfigErrors(t *testing.T) {
	for want, cfg := range map[string]Config{
		"/ip4/nonsense":     {Listen: []string{"/ip4/nonsense"}},
		"the peer's ID":     {Peers: []string{"/ip4/127.0.0.1/tcp/4001"}},
		"127.0.0.1:4001":    {Bootstrap: []string{"127.0.0.1:4001"}},
		"ftp://example.org": {Routing: []string{"ftp://example.org"}},
		"/key/swarm":        {SwarmKey: []byte("nonsense")},
		"public network":    {SwarmKey: swarmKey(1), Public: true},
		"only TCP":          {SwarmKey: swarmKey(1), Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}},
	} {
		n, err := New(t.Context(), cfg)
		if err == nil {
			n.Close()
		}
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error about %q", err, want)
		}
	}
}

// An address in use is told, not passed over.
func TestAddressInUse(t *testing.T) {
	a := start(t, listening(Config{}))
	addr, _, _ := strings.Cut(a.Addrs()[0], "/p2p/")
	if n, err := New(t.Context(), Config{Listen: []string{addr}}); err == nil {
		n.Close()
		t.Error("two nodes listen on one address")
	} else if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), addr) {
		t.Errorf("%v, want ErrInUse of %s", err, addr)
	}
}

// A static peer that was away is connected again.
func TestStaticPeerComesBack(t *testing.T) {
	key, err := LoadIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	a := start(t, listening(Config{Identity: key, Handler: hello}))
	addrs := a.Addrs()
	listen, _, _ := strings.Cut(addrs[0], "/p2p/")
	b := start(t, Config{Peers: addrs})
	ready(t, b)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, "b notices", func() bool { return len(b.Connected()) == 0 })
	again := start(t, Config{Identity: key, Handler: hello, Listen: []string{listen}})
	await(t, "b is back", func() bool { return knows(b, again.ID()) })
}
