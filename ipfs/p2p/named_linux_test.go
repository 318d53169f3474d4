package p2p

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	ma "github.com/multiformats/go-multiaddr"
)

// zone is a DNS server of one name, whose addresses change.
type zone struct {
	mu    sync.Mutex
	addrs []string
	fails bool
	asked int
}

func (z *zone) set(addrs ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.addrs = addrs
}

func (z *zone) fail() {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.fails = true
}

func (z *zone) count() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked
}

func (z *zone) ServeDNS(w dns.ResponseWriter, r *dns.Msg) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked++
	answer := new(dns.Msg).SetReply(r)
	q := r.Question[0]
	if z.fails {
		answer.Rcode = dns.RcodeServerFailure
	} else if q.Name != "peers.test." {
		answer.Rcode = dns.RcodeNameError
	} else if q.Qtype == dns.TypeA {
		for _, a := range z.addrs {
			answer.Answer = append(answer.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.ParseIP(a)})
		}
	}
	_ = w.WriteMsg(answer) // a client that is gone
}

// resolver starts the server and gives one that asks it alone.
func (z *zone) resolver(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: z}
	ended := make(chan error, 1)
	go func() { ended <- server.ActivateAndServe() }()
	var asking questions
	t.Cleanup(func() {
		if err := errors.Join(server.Shutdown(), <-ended); err != nil {
			t.Error(err)
		}
		asking.end()
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "udp", conn.LocalAddr().String())
		if err == nil {
			asking.add(c)
		}
		return c, err
	}}
}

// questions are connections of a resolver, whose goroutines wait for answers for
// seconds after a look-up was given up.
type questions struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (q *questions) add(c net.Conn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.conns = append(q.conns, c)
}

func (q *questions) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range q.conns {
		_ = c.Close() // most are closed
	}
}

// freePort is one that no address of the loopback has in use just now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "0.0.0.0:0") // closed at once
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// TestNamedPeers: without it the machines of a cluster would not find each other
// by the name of their service, nor those that come later, nor one that came back
// with another key.
func TestNamedPeers(t *testing.T) {
	for _, key := range []string{"", "/key/swarm/psk/1.0.0/\n/base16/\n" + strings.Repeat("0f", 32) + "\n"} {
		t.Run(fmt.Sprintf("swarm key %t", key != ""), func(t *testing.T) {
			z := &zone{}
			port := freePort(t)
			at := func(ip string) Config {
				return Config{Listen: []string{fmt.Sprintf("/ip4/%s/tcp/%d", ip, port)}, SwarmKey: []byte(key), Handler: hello}
			}
			// The one that looks for the others is behind the name, too.
			cfg := at("127.0.0.10")
			cfg.Peers, cfg.Resolver = []string{fmt.Sprintf("dns:peers.test:%d", port)}, z.resolver(t)
			cfg.namedInterval = 50 * time.Millisecond
			z.set("127.0.0.10", "127.0.0.11")
			first := start(t, at("127.0.0.11"))
			n := start(t, cfg)
			ready(t, n)
			await(t, "the first is connected", func() bool { return knows(n, first.ID()) })

			second := start(t, at("127.0.0.12"))
			z.set("127.0.0.10", "127.0.0.11", "127.0.0.12")
			await(t, "who comes later is connected", func() bool { return knows(n, second.ID()) })

			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			again := start(t, at("127.0.0.11"))
			if again.ID() == first.ID() {
				t.Fatal("the second node at the address has the first one's ID")
			}
			await(t, "who has the address now is connected", func() bool { return knows(n, again.ID()) })

			z.set("127.0.0.10", "127.0.0.12")
			await(t, "who is not behind the name any more is let go", func() bool { return len(n.peering.ListPeers()) == 1 })

			z.fail()
			asked := z.count()
			await(t, "a failing name was asked for again and again", func() bool { return z.count() > asked+8 })
			if kept := n.peering.ListPeers(); len(kept) != 1 || kept[0].ID.String() != second.ID() {
				t.Errorf("after DNS failed the peers are %v, want %s", kept, second.ID())
			}
		})
	}
}

// TestNamedPeersFail: without it a wrong name would look like a network without peers.
func TestNamedPeersFail(t *testing.T) {
	z := &zone{}
	n := start(t, Config{Peers: []string{"dns:other.test"}, Resolver: z.resolver(t), namedInterval: time.Millisecond})
	await(t, "the name was asked for again and again", func() bool { return z.count() > 8 })
	if text := n.unreached.text(); !strings.Contains(text, "dns:other.test:4001: ") {
		t.Errorf("what is told of peers that are not reached: %q", text)
	}
	for _, wrong := range []string{"dns:", "dns::4001", "dns:a:0", "dns:a:b", "dns:a:65536", "dns:/ip4"} {
		if _, err := New(t.Context(), Config{Peers: []string{wrong}}); !errors.Is(err, ErrConfig) {
			t.Errorf("%q: %v, want ErrConfig", wrong, err)
		}
	}
}

// TestManyNamed: without it each machine of a thousand would hold a connection to
// every other, or all of them to the same few.
func TestManyNamed(t *testing.T) {
	var all []string
	for i := range 1000 {
		all = append(all, fmt.Sprintf("10.1.%d.%d", i/250, i%250+1))
	}
	taken := map[string]int{}
	for range 4 {
		f := &follower{node: start(t, Config{}), found: map[dnsName][]ma.Multiaddr{{"a", 1}: addrs(t, all), {"b", 1}: addrs(t, all)}}
		chosen := f.chosen()
		if len(chosen) != maxNamed {
			t.Fatalf("%d addresses were chosen, want %d", len(chosen), maxNamed)
		}
		for _, a := range chosen {
			taken[a.String()]++
		}
	}
	if len(taken) < 3*maxNamed {
		t.Errorf("four nodes chose %d different addresses", len(taken))
	}
}

// TestFewNamedAreKept: without it most of the mirrors of a large cluster would find nobody
// who has what was pushed to its registry, or be dropped by it.
func TestFewNamedAreKept(t *testing.T) {
	const mirrors = 200
	registry := "10.2.0.1"
	all := []string{registry}
	for i := range mirrors {
		all = append(all, fmt.Sprintf("10.1.0.%d", i+1))
	}
	for range 8 {
		f := &follower{node: start(t, Config{}), found: map[dnsName][]ma.Multiaddr{{"all", 1}: addrs(t, all), {"registry", 1}: addrs(t, []string{registry})}}
		chosen := f.chosen()
		if len(chosen) != maxNamed || !slices.ContainsFunc(chosen, addrs(t, []string{registry})[0].Equal) {
			t.Errorf("of %d addresses %d were chosen, and not the registry's", len(all), len(chosen))
		}
	}
	p, err := Config{Peers: []string{"dns:all"}}.parse()
	if err != nil {
		t.Fatal(err)
	}
	if low, high := p.water(); low < mirrors+maxNamed || high <= low {
		t.Errorf("a node with peers behind a name keeps %d to %d connections, and %d nodes and %d that it dials are there", low, high, mirrors, maxNamed)
	}
}

func addrs(t *testing.T, ips []string) (found []ma.Multiaddr) {
	t.Helper()
	for _, ip := range ips {
		a, err := ma.NewMultiaddr("/ip4/" + ip + "/tcp/4001")
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, a)
	}
	return found
}
