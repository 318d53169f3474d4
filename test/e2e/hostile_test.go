//go:build e2e && linux

// Peers that mean harm.

package e2e

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs/car"
	"github.com/image2ipfs/image2ipfs/ipfs/exchange"
	"github.com/image2ipfs/image2ipfs/ipfs/p2p"
)

// With these the test binary is a hostile peer and runs no tests.
const (
	hostileMode = "E2E_HOSTILE"
	hostileTo   = "E2E_HOSTILE_PEER"
)

func init() {
	if mode := os.Getenv(hostileMode); mode != "" {
		fmt.Fprintln(os.Stderr, beHostile(mode))
		os.Exit(1)
	}
}

// beHostile prints a peer's ID and is that peer until it is killed.
func beHostile(mode string) error {
	cfg := p2p.Config{Listen: []string{listenOn}, Peers: strings.Fields(os.Getenv(hostileTo))}
	switch mode {
	case "lies":
		cfg.Handler, cfg.Blocks = answers(lie), lies{}
	case "stalls":
		cfg.Handler, cfg.Blocks = answers(stall), stalls{}
	}
	n, err := p2p.New(context.Background(), cfg)
	if err != nil {
		return err
	}
	fmt.Println(n.ID())
	if mode == "floods" {
		flood(n)
	}
	select {} // until it is killed
}

// answers claims to hold everything, and answers requests for blocks by give.
func answers(give func(w http.ResponseWriter, r *http.Request)) func(*p2p.Node) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+exchange.Path, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "holds") })
	mux.HandleFunc("POST "+exchange.Path, give)
	return func(*p2p.Node) http.Handler { return mux }
}

var falseBlock = []byte("not what was asked for")

// lie sends other bytes under the CIDs that were asked for.
func lie(w http.ResponseWriter, r *http.Request) {
	var list []cid.Cid
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		if c, err := cid.Decode(lines.Text()); err == nil {
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		return
	}
	to, err := car.NewWriter(w, list[0])
	for _, c := range list {
		if err == nil {
			err = to.Block(c, falseBlock)
		}
	}
}

// stall begins an answer and never goes on.
func stall(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// lies are blocks that are not what their CIDs say, for bitswap.
type lies struct{}

func (lies) Has(context.Context, cid.Cid) bool                   { return true }
func (lies) Get(context.Context, cid.Cid) ([]byte, error)        { return falseBlock, nil }
func (lies) Size(context.Context, cid.Cid) (size int64, _ error) { return int64(len(falseBlock)), nil }

// stalls are blocks that never come.
type stalls struct{ lies }

func (stalls) Get(ctx context.Context, _ cid.Cid) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// flood asks the peer for blocks that nobody has, in every way, without end.
func flood(n *p2p.Node) {
	for range 64 {
		go func() {
			for {
				for _, p := range n.Peers() {
					var list strings.Builder
					for range 1024 {
						fmt.Fprintln(&list, randomCID())
					}
					req, err := http.NewRequest(http.MethodPost, "http://peer"+exchange.Path+randomCID().String()+"?relay=1", strings.NewReader(list.String()))
					if err != nil {
						continue
					}
					if resp, err := p.RoundTrip(req); err == nil {
						_, _ = io.CopyN(io.Discard, resp.Body, 10) // the rest is left to the peer
						_ = resp.Body.Close()
					}
				}
				time.Sleep(time.Millisecond) // two machines share the cores
			}
		}()
	}
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		var wants []cid.Cid
		for range 256 {
			wants = append(wants, randomCID())
		}
		_ = n.Blocks(ctx, wants, func(cid.Cid, []byte) error { return nil })
		cancel()
	}
}

func randomCID() cid.Cid {
	var digest [32]byte
	_, _ = rand.Read(digest[:]) // never fails
	mh, err := multihash.Encode(digest[:], multihash.SHA2_256)
	if err != nil {
		panic(err) // 32 bytes are right for SHA-256
	}
	return cid.NewCidV1(cid.Raw, mh)
}

// hostile starts a hostile peer on the machine and gives its address.
func (m *machine) hostile(t *testing.T, mode string, peers ...string) (address string) {
	t.Helper()
	peer := m.m.Command(t.Context(), os.Args[0])
	peer.Env = append(os.Environ(), hostileMode+"="+mode, hostileTo+"="+strings.Join(peers, " "))
	peer.Stderr = os.Stderr
	out, err := peer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := peer.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = peer.Process.Kill()
		_ = peer.Wait() // killed
	})
	id, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return "/ip4/" + m.m.IP + "/tcp/" + swarmPort + "/p2p/" + strings.TrimSpace(id)
}

// TestHostilePeers puts a peer that lies or stalls beside a good one: the image
// arrives whole, and the server goes on.
func TestHostilePeers(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"lies", "stalls"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t)
			publisher, enemy, puller := l.machine(t), l.machine(t), l.machine(t)
			name := publisher.published(t, "big.docker20.tar")
			publisher.serving(t, "--swarm-listen", listenOn)
			address := enemy.hostile(t, mode)
			puller.serving(t, "--peers", publisher.address(t), "--peers", address)
			puller.connected(t, publisher.id(t), "image2ipfs")
			puller.connected(t, address[strings.LastIndex(address, "/")+1:], "image2ipfs")
			engine := puller.containerd(t)
			if _, err := engine.ctr.output(deadline(t), "images", "pull", "--plain-http", tagged(registryAddr+"/"+name)); err != nil {
				t.Fatalf("%v\n%s", err, puller.server.lastLines())
			}
			puller.wantPulled(t, name, "--peers", publisher.address(t), "--peers", address)
			if mode == "lies" {
				puller.wantLogged(t, "a peer sent a false block")
			}
		})
	}
}

// TestFloodedPeer asks a publisher for blocks without end, while another
// machine pulls from it: that must succeed, in bounded memory.
func TestFloodedPeer(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	publisher, enemy, puller := l.machine(t), l.machine(t), l.machine(t)
	name := publisher.published(t, "big.docker20.tar")
	publisher.serving(t, "--swarm-listen", listenOn)
	enemy.hostile(t, "floods", publisher.address(t))
	eventually(t, "the flood", func() error {
		known, err := publisher.peers(t)
		if err == nil && len(known) == 0 {
			err = fmt.Errorf("the publisher has no peers")
		}
		return err
	})
	puller.wantPulled(t, name, "--peers", publisher.address(t))
	const most = 256 << 20 // bytes; without a flood it is about 100 MiB
	n, err := publisher.server.run.PeakMemory()
	if err != nil || n > most {
		t.Errorf("the flooded server has taken %d bytes of memory (%v), want at most %d", n, err, most)
	}
}
