package p2p

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/gostream"
	"github.com/multiformats/go-multibase"
)

// Protocol is what nodes of this program tell each other that they speak:
// HTTP/1.1 on libp2p streams, a stream being used for one request after another.
const Protocol protocol.ID = "/image2ipfs/http/1"

const (
	// A peer may be stalledWrite behind what it would have of its answers at
	// slowest, bytes a second: what is slower the other side takes to stand still.
	stalledWrite = 20 * time.Second
	slowest      = 12 << 10
	// idleStream is how long a stream without a request is kept by who opened
	// it; the other side waits twice as long.
	idleStream  = 30 * time.Second
	headerTime  = 10 * time.Second
	requestTime = 20 * time.Second // for all of a request, which is short
	maxHeader   = 8 << 10          // bytes, of requests and answers
	writePiece  = 64 << 10         // bytes after which it is looked how far behind a peer is
	readBuffer  = 32 << 10
	idlePerPeer = 8
	idleOverall = 64
)

// serveHTTP answers peers until the node ends.
func (n *Node) serveHTTP(handler http.Handler) error {
	l, err := gostream.Listen(n.host, Protocol)
	if err != nil {
		return fmt.Errorf("answering %s: %w", Protocol, err)
	}
	n.http = &http.Server{
		Handler:           n.answers.track(handler),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       requestTime,
		IdleTimeout:       2 * idleStream,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return n.ctx },
	}
	n.onClose(n.http.Close)
	n.task(func() {
		if err := n.http.Serve(answering{l}); !errors.Is(err, http.ErrServerClosed) && n.ctx.Err() == nil {
			n.log.Error("peers are not answered any more", "error", err)
		}
	})
	return nil
}

// answers are the requests of peers that are being answered.
type answers struct {
	mu      sync.Mutex // orders the beginning of one before the end of all
	ended   bool
	running sync.WaitGroup
}

func (a *answers) track(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.begin() {
			defer a.running.Done()
			h.ServeHTTP(w, r)
		}
	})
}

func (a *answers) begin() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.ended {
		a.running.Add(1)
	}
	return !a.ended
}

// end waits for all, and has no other begin.
func (a *answers) end() {
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
	a.running.Wait()
}

// answering gives connections that end when the peer does not take what it is
// sent, or too slowly: until it has, that is kept in memory.
type answering struct{ net.Listener }

func (a answering) Accept() (net.Conn, error) {
	c, err := a.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &answer{Conn: c}, nil
}

type answer struct {
	net.Conn
	behind time.Duration
}

func (a *answer) Write(p []byte) (n int, err error) {
	for piece := range slices.Chunk(p, writePiece) {
		began, due := time.Now(), time.Duration(len(piece))*time.Second/slowest
		if err := a.SetWriteDeadline(began.Add(due + stalledWrite - a.behind)); err != nil {
			return n, err
		}
		written, err := a.Conn.Write(piece)
		a.behind = max(a.behind+time.Since(began)-due, 0)
		if n += written; err != nil {
			return n, err
		}
	}
	return n, nil
}

// newTransport makes requests over streams. A request's host is a peer ID in
// base 36, since hosts have no case.
func (n *Node) newTransport() *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			name, _, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			id, err := peer.Decode(name)
			if err != nil {
				return nil, fmt.Errorf("peer %q: %w", name, err)
			}
			c, err := gostream.Dial(network.WithNoDial(ctx, "peers are asked while they are connected"), n.host, id, Protocol)
			if err != nil {
				return nil, fmt.Errorf("stream to peer %s: %w", id, err)
			}
			return asking{c}, nil
		},
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
		MaxIdleConns:           idleOverall,
		MaxIdleConnsPerHost:    idlePerPeer,
		IdleConnTimeout:        idleStream,
		ReadBufferSize:         readBuffer,
	}
}

// asking is a stream that is reset when it is closed: whoever gives up on an
// answer does not want the rest of it to be sent.
type asking struct{ net.Conn }

func (a asking) Close() error {
	if s, ok := a.Conn.(interface{ Reset() error }); ok {
		return s.Reset()
	}
	return a.Conn.Close()
}

// Peer is a connected node that speaks [Protocol].
type Peer struct {
	node *Node
	id   peer.ID
}

// String is the peer's ID.
func (p Peer) String() string { return p.id.String() }

// RoundTrip sends a request to the peer; of its URL only path and query count.
// It fails at once when the peer is not connected any more.
func (p Peer) RoundTrip(r *http.Request) (*http.Response, error) {
	name, err := peer.ToCid(p.id).StringOfBase(multibase.Base36)
	if err != nil {
		return nil, err
	}
	to := r.Clone(r.Context())
	to.URL.Scheme, to.URL.Host, to.Host = "http", name, name
	return p.node.client.RoundTrip(to)
}

// Peers are the connected nodes that speak [Protocol].
func (n *Node) Peers() []Peer {
	var peers []Peer
	for _, id := range n.host.Network().Peers() {
		if n.host.Network().Connectedness(id) == network.Connected && n.speaks(id, Protocol) {
			peers = append(peers, Peer{n, id})
		}
	}
	return peers
}

// speaks tells whether a peer has said that it knows one of protocols.
func (n *Node) speaks(id peer.ID, protocols ...protocol.ID) bool {
	known, err := n.host.Peerstore().SupportsProtocols(id, protocols...)
	return err == nil && len(known) > 0
}
