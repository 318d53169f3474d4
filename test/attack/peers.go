//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/exchange"
	"github.com/image2ipfs/image2ipfs/ipfs/p2p"
)

// perPeer is how many streams an attacking peer keeps open.
const perPeer = 8

// newPeer is an attacker's libp2p host with an identity of its own. It takes streams of
// bitswap and reads none of them.
func newPeer() (host.Host, error) {
	dialer := func(ma.Multiaddr) (tcp.ContextDialer, error) {
		return &net.Dialer{LocalAddr: &net.TCPAddr{IP: attacker}}, nil
	}
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics(), libp2p.DisableRelay(), libp2p.ResourceManager(&network.NullResourceManager{}),
		libp2p.Transport(tcp.NewTCPTransport, tcp.DisableReuseport(), tcp.WithDialerForAddr(dialer)))
	if err == nil {
		h.SetStreamHandler(bsnet.ProtocolBitswap, func(network.Stream) {})
	}
	return h, err
}

// peers runs n attackers, each with an identity of its own, and each with some streams
// by which it does one thing again and again.
func (t *aim) peers(ctx context.Context, n, streams int, id protocol.ID, do func(ctx context.Context, s io.ReadWriteCloser) error) {
	t.many(ctx, n, func(ctx context.Context, _ int) error {
		h, err := newPeer()
		if err != nil {
			return err
		}
		defer h.Close()
		if err := h.Connect(ctx, *t.Peer); err != nil {
			return err
		}
		var all sync.WaitGroup
		for range streams {
			all.Go(func() {
				for ctx.Err() == nil && h.Network().Connectedness(t.Peer.ID) == network.Connected {
					if err := stream(ctx, h, t.Peer.ID, id, do); err != nil {
						pause(ctx, 100*time.Millisecond)
					}
				}
			})
		}
		all.Wait()
		return errors.New("the connection has ended")
	})
}

// stream does one thing on a stream; of no protocol when id is "".
func stream(ctx context.Context, h host.Host, to peer.ID, id protocol.ID, do func(ctx context.Context, s io.ReadWriteCloser) error) error {
	var s network.Stream
	var err error
	if id == "" {
		conns := h.Network().ConnsToPeer(to)
		if len(conns) == 0 {
			return network.ErrNoConn
		}
		s, err = conns[0].NewStream(ctx)
	} else {
		s, err = h.NewStream(ctx, to, id)
	}
	if err != nil {
		return err
	}
	defer s.Reset()
	defer context.AfterFunc(ctx, func() { _ = s.Reset() })()
	return do(ctx, s)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// waits reads until the other side ends.
func waits(s io.Reader) error {
	_, err := io.Copy(io.Discard, s)
	return errors.Join(err, io.ErrUnexpectedEOF)
}

// bodies asks for blocks, with lists that never come.
func (t *aim) bodies(ctx context.Context) {
	t.peers(ctx, 9*t.Scale, 2*perPeer, p2p.Protocol, func(_ context.Context, s io.ReadWriteCloser) error {
		if _, err := fmt.Fprintf(s, "POST %s%s HTTP/1.1\r\nHost: peer\r\nContent-Length: 60000\r\n\r\n", exchange.Path, t.Root); err != nil {
			return err
		}
		return waits(s)
	})
}

// takeNothing asks for blocks and takes none of the answer.
func (t *aim) takeNothing(ctx context.Context) {
	t.peers(ctx, 9*t.Scale, 2*perPeer, p2p.Protocol, func(ctx context.Context, s io.ReadWriteCloser) error {
		list := t.Leaf.String() + "\n"
		if _, err := fmt.Fprintf(s, "POST %s%s HTTP/1.1\r\nHost: peer\r\nContent-Length: %d\r\n\r\n%s", exchange.Path, t.Root, len(list), list); err != nil {
			return err
		}
		_, err := io.ReadFull(s, make([]byte, 500))
		pause(ctx, time.Minute)
		return err
	})
}

func (t *aim) silentStreams(ctx context.Context) {
	var all sync.WaitGroup
	for _, id := range []protocol.ID{"", p2p.Protocol} {
		all.Go(func() {
			t.peers(ctx, 30, perPeer, id, func(_ context.Context, s io.ReadWriteCloser) error { return waits(s) })
		})
	}
	all.Wait()
}

func (t *aim) states(ctx context.Context) {
	t.peers(ctx, 60, perPeer, p2p.Protocol, func(ctx context.Context, s io.ReadWriteCloser) error {
		for ctx.Err() == nil {
			if _, err := fmt.Fprintf(s, "GET %s%s HTTP/1.1\r\nHost: peer\r\n\r\n", exchange.Path, t.Root); err != nil {
				return err
			}
			if _, err := s.(io.Reader).Read(make([]byte, 1000)); err != nil {
				return err
			}
			pause(ctx, 20*time.Millisecond) // 24,000 a second of all: more than anybody answers
		}
		return nil
	})
}

func (t *aim) garbage(ctx context.Context) {
	var all sync.WaitGroup
	for _, id := range []protocol.ID{p2p.Protocol, bsnet.ProtocolBitswap} {
		all.Go(func() {
			t.peers(ctx, 30, perPeer, id, func(ctx context.Context, s io.ReadWriteCloser) error {
				junk := make([]byte, 4096)
				for i := range junk {
					junk[i] = byte(rand.Uint32())
				}
				for ctx.Err() == nil {
					if _, err := s.Write(junk); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	all.Wait()
}

// announced announces messages of 4 MiB, of which nothing comes.
func (t *aim) announced(ctx context.Context) {
	t.peers(ctx, 60, perPeer, bsnet.ProtocolBitswap, func(_ context.Context, s io.ReadWriteCloser) error {
		if _, err := s.Write(binary.AppendUvarint(nil, 4<<20)); err != nil {
			return err
		}
		return waits(s)
	})
}

// held is what an honest peer has got.
type held struct {
	mu     sync.Mutex
	blocks map[string][]byte
}

func (h *held) Get(_ context.Context, c cid.Cid) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if data, ok := h.blocks[string(c.Hash())]; ok {
		return data, nil
	}
	return nil, ipfs.ErrNotFound
}

func (h *held) Has(ctx context.Context, c cid.Cid) bool { _, err := h.Get(ctx, c); return err == nil }

func (h *held) Size(ctx context.Context, c cid.Cid) (int64, error) {
	data, err := h.Get(ctx, c)
	return int64(len(data)), err
}

func (h *held) Put(_ context.Context, c cid.Cid, data []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.blocks[string(c.Hash())] = data
	return nil
}

// link is a node as the exchange sees it.
type link struct{ *p2p.Node }

func (l link) Self() string { return l.ID() }

func (l link) Peers() (peers []exchange.Peer) {
	for _, p := range l.Node.Peers() {
		peers = append(peers, p)
	}
	return peers
}

// peerPull gets the image as a new peer does, each time with another identity, and
// tells how long it took until the layout was open.
func (t *target) peerPull(ctx context.Context) (start time.Duration, err error) {
	began := time.Now()
	addrs, err := peer.AddrInfoToP2pAddrs(t.Peer)
	if err != nil {
		return 0, err
	}
	var x *exchange.Exchange
	store := &held{blocks: map[string][]byte{}}
	node, err := p2p.New(ctx, p2p.Config{Peers: []string{addrs[0].String()}, Handler: func(n *p2p.Node) http.Handler {
		x = exchange.New(exchange.Config{Network: link{n}, Store: store})
		return x.Handler()
	}})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	defer func() { err = errors.Join(x.Close(), err) }()
	if err := node.Ready(ctx); err != nil {
		return 0, fmt.Errorf("connecting as a peer: %w", err)
	}
	layout, err := t.comeBack(ctx, x)
	if err != nil {
		return 0, fmt.Errorf("opening the image as a peer: %w", err)
	}
	start = time.Since(began)
	if !t.File.Defined() { // before all attacks
		if err := t.find(ctx, ipfs.Verified(x), layout); err != nil {
			return 0, err
		}
	}
	g, release := x.Fetch(t.File)
	defer release()
	f, err := ipfs.OpenFile(ctx, ipfs.Verified(ipfs.First(store, g)), t.File, 4)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, err := io.Copy(io.Discard, f)
	if err == nil && n < 8<<20 {
		err = fmt.Errorf("%s has %d bytes", t.File, n)
	}
	return start, err
}

// find finds the file of the image's layer, and its first leaf.
func (t *target) find(ctx context.Context, g ipfs.Getter, l *ipfs.Layout) error {
	_, d, _ := strings.Cut(t.Blob, "/blobs/")
	blob, err := l.Blob(ctx, digest.Digest(d))
	if err != nil {
		return err
	}
	t.File = blob.CID
	return ipfs.Blocks(ctx, g, t.File, 0, func(c cid.Cid, _ int64) bool {
		t.Leaf = c
		return false
	})
}

// meet finds out where the server's node is.
func (t *target) meet(ctx context.Context) error {
	out, err := t.program.Command("id").Output()
	if err != nil {
		return err
	}
	_, addrs, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	first, _, _ := strings.Cut(addrs, "\n")
	if t.Peer, err = peer.AddrInfoFromString(first); err != nil {
		return fmt.Errorf("the node's address %q: %w", first, err)
	}
	_, err = t.peerPull(ctx)
	return err
}

// honestPeers pulls as a new peer again and again until ctx is done. Who is told to
// come back does.
func (t *target) honestPeers(ctx context.Context) (r result, err error) {
	for ctx.Err() == nil {
		patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		began := time.Now()
		took, err := t.peerPull(patient)
		for errors.Is(err, ipfs.ErrUnavailable) && patient.Err() == nil { // the next try of who pulls
			before := time.Since(began)
			took, err = t.peerPull(patient)
			took += before
		}
		cancel()
		if err != nil {
			return r, fmt.Errorf("an honest peer: %w", err)
		}
		r.longest = max(r.longest, took)
		r.pulls++
		pause(ctx, 200*time.Millisecond)
	}
	return r, nil
}

// comeBack opens the layout, again until ctx is done while the peer has too much to do.
func (t *target) comeBack(ctx context.Context, x *exchange.Exchange) (*ipfs.Layout, error) {
	for {
		l, err := ipfs.OpenLayout(ctx, ipfs.Verified(x), t.Root)
		if !errors.Is(err, ipfs.ErrUnavailable) || ctx.Err() != nil {
			return l, err
		}
		pause(ctx, 100*time.Millisecond)
	}
}
