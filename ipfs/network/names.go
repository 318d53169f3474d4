package network

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/p2p"
	"github.com/image2ipfs/image2ipfs/ref"
)

// Names are what a node knows of names that move.
type Names interface {
	// Kept gives the newest record of a name that is here and valid, and how long ago it
	// was heard that it is the newest; ok is false for none.
	Kept(name string) (raw []byte, age time.Duration, ok bool)
	// Offer takes a record that somebody has sent unasked, of a name that is known here.
	// Newer tells that it was signed by the name's owner and is newer than what was here.
	Offer(name string, raw []byte) (newer bool, err error)
	// Newer gives the newest of records of a name that is right; nil for none.
	Newer(name string, raws ...[]byte) []byte
}

// The protocol between nodes, on HTTP:
//
//	GET <path><name>   the record, with Age; Image2ipfs-Hops is how often it may be asked on
//	PUT <path><name>   a record that is newer; the same
const (
	namesPath  = "/image2ipfs/names/1/"
	headerHops = "Image2ipfs-Hops"
	// maxHops is how far a question or a record goes at most from node to node.
	maxHops = 2
	// namesTime is how long peers may take to answer another peer's question.
	namesTime = 1500 * time.Millisecond
	// onBehalf is how many peers are asked at most because another peer asks.
	onBehalf = 16
	// tellTime is how long one peer may take to take a record.
	tellTime = 10 * time.Second
	// maxAnswers are the questions about names that are answered at once, and those of
	// one peer.
	maxAnswers, maxAnswersOfPeer = 64, 4
	// maxTold is of how many records it is remembered that they were passed on.
	maxTold = 1024
)

// namesPart is what a node does about names.
type namesPart struct {
	node    *p2p.Node    // set before any peer can ask
	log     *slog.Logger // likewise
	mu      sync.Mutex
	names   Names // nil before there are any
	running map[string]int
	all     int
	told    [][sha256.Size]byte // of the last records that were passed on
}

// UseNames has peers told what is known of names, and what they tell taken.
func (n *Network) UseNames(names Names) {
	n.names.mu.Lock()
	defer n.names.mu.Unlock()
	n.names.names = names
}

// enter takes a place for a peer's question.
func (p *namesPart) enter(peer string) (names Names, leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		p.running = map[string]int{}
	}
	if p.all >= maxAnswers || p.running[peer] >= maxAnswersOfPeer {
		return nil, nil, false
	}
	p.all++
	p.running[peer]++
	return p.names, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.all--
		if p.running[peer]--; p.running[peer] == 0 {
			delete(p.running, peer)
		}
	}, true
}

// isNew tells whether a record was not passed on yet, and notes that it is now.
func (p *namesPart) isNew(raw []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	sum := sha256.Sum256(raw)
	if slices.Contains(p.told, sum) {
		return false
	}
	if len(p.told) == maxTold {
		p.told = slices.Delete(p.told, 0, 1)
	}
	p.told = append(p.told, sum)
	return true
}

// answerName answers a peer. The RemoteAddr of a request is its ID.
func (n *Network) answerName(w http.ResponseWriter, r *http.Request) {
	name, err := ref.ParseIPNS(strings.TrimPrefix(r.URL.Path, namesPath))
	if err != nil {
		http.Error(w, "the path must end in an IPNS name", http.StatusBadRequest)
		return
	}
	names, leave, ok := n.names.enter(r.RemoteAddr)
	if !ok {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many requests", http.StatusTooManyRequests)
		return
	}
	defer leave()
	hops, err := strconv.Atoi(r.Header.Get(headerHops))
	if err != nil {
		hops = 0
	}
	hops = min(hops, maxHops-1) - 1
	switch {
	case names == nil:
		http.Error(w, "no names are known here", http.StatusNotFound)
	case r.Method == http.MethodGet:
		n.giveRecord(w, r, names, name, hops)
	case r.Method == http.MethodPut:
		n.takeRecord(w, r, names, name, hops)
	default:
		http.Error(w, "GET and PUT are answered", http.StatusMethodNotAllowed)
	}
}

// freshFor is for how long the own record is told without asking others on behalf of a
// peer.
const freshFor = time.Second

// giveRecord tells a peer the newest record that is here, or that other peers have.
func (n *Network) giveRecord(w http.ResponseWriter, r *http.Request, names Names, name string, hops int) {
	raw, age, ok := names.Kept(name)
	if (!ok || age > freshFor) && hops >= 0 {
		ctx, cancel := context.WithTimeout(r.Context(), namesTime)
		defer cancel()
		var mu sync.Mutex
		n.askPeers(ctx, name, hops, n.others(r.RemoteAddr, onBehalf), func(_ string, other []byte, old time.Duration, err error) {
			mu.Lock()
			defer mu.Unlock()
			if best := names.Newer(name, raw, other); err == nil && best != nil && (bytes.Equal(best, other) || !ok) {
				if !bytes.Equal(best, raw) || old < age {
					age = old
				}
				raw, ok = best, true
			}
		})
		mu.Lock()
		defer mu.Unlock()
	}
	if !ok {
		http.Error(w, "no record", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", ipfs.TypeRecord)
	w.Header().Set("Age", strconv.FormatInt(int64(age/time.Second), 10))
	_, _ = w.Write(raw) //nolint:gosec // G705: a record is no HTML, and its type says so; it fails when who asks has gone
}

// takeRecord takes a record from a peer and passes on what is new.
func (n *Network) takeRecord(w http.ResponseWriter, r *http.Request, names Names, name string, hops int) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, ipfs.MaxRecord))
	if err != nil {
		return
	}
	newer, err := names.Offer(name, raw)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if newer && hops >= 0 && n.names.isNew(raw) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), tellTime)
		defer cancel()
		if _, err := n.tellPeers(ctx, name, raw, hops, n.others(r.RemoteAddr, onBehalf)); err != nil {
			n.names.log.Debug("some peers were not told that a name has moved; they will ask", "name", name, "error", err)
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// busyPause is about for how long a peer that has too much to do is left alone.
const busyPause = 300 * time.Millisecond

// ask makes one request to a peer, again and again while that has too much to do.
func (n *Network) ask(ctx context.Context, p p2p.Peer, method, name string, hops int, body []byte) (*http.Response, error) {
	for {
		r, err := http.NewRequestWithContext(ctx, method, "http://peer"+namesPath+name, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		r.Header.Set(headerHops, strconv.Itoa(hops))
		resp, err := p.RoundTrip(r)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ipfs.ErrUnavailable, err)
		}
		if resp.StatusCode != http.StatusTooManyRequests {
			return resp, nil
		}
		if err := resp.Body.Close(); err != nil {
			return nil, fmt.Errorf("%w: %w", ipfs.ErrUnavailable, err)
		}
		select {
		case <-time.After(busyPause/2 + rand.N(busyPause)): //nolint:gosec // G404: no secret
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: it has too much to do: %w", ipfs.ErrUnavailable, context.Cause(ctx))
		}
	}
}

// others are the connected peers but one, at most so many, others each time.
func (n *Network) others(but string, most int) []p2p.Peer {
	peers := slices.DeleteFunc(n.names.node.Peers(), func(p p2p.Peer) bool { return p.String() == but })
	rand.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] }) //nolint:gosec // G404: no secret
	return peers[:min(len(peers), most)]
}

// askPeers asks peers for a record, and waits for all answers.
func (n *Network) askPeers(ctx context.Context, name string, hops int, peers []p2p.Peer, yield func(from string, raw []byte, age time.Duration, err error)) {
	var all sync.WaitGroup
	for _, p := range peers {
		all.Go(func() {
			raw, age, err := n.askPeer(ctx, p, name, hops)
			yield("peer "+p.String(), raw, age, err)
		})
	}
	all.Wait()
}

func (n *Network) askPeer(ctx context.Context, p p2p.Peer, name string, hops int) (raw []byte, age time.Duration, err error) {
	resp, err := n.ask(ctx, p, http.MethodGet, name, hops, nil)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, 0, fmt.Errorf("%w: it has no record of %s", ipfs.ErrNotFound, name)
	default:
		return nil, 0, fmt.Errorf("%w: it answers %s", ipfs.ErrUnavailable, resp.Status)
	}
	if raw, err = io.ReadAll(io.LimitReader(resp.Body, ipfs.MaxRecord)); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ipfs.ErrUnavailable, err)
	}
	seconds, err := strconv.ParseUint(resp.Header.Get("Age"), 10, 31)
	if err != nil {
		seconds = 0
	}
	return raw, time.Duration(seconds) * time.Second, nil
}

// tellPeers gives a record to peers.
func (n *Network) tellPeers(ctx context.Context, name string, raw []byte, hops int, peers []p2p.Peer) (took int, err error) {
	var all sync.WaitGroup
	var mu sync.Mutex
	for _, p := range peers {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, tellTime)
			defer cancel()
			resp, failed := n.ask(ctx, p, http.MethodPut, name, hops, raw)
			if failed == nil {
				failed = errors.Join(refusal(resp), resp.Body.Close())
			}
			mu.Lock()
			defer mu.Unlock()
			if failed == nil {
				took++
			} else {
				err = errors.Join(err, fmt.Errorf("peer %s: %w", p, failed))
			}
		})
	}
	all.Wait()
	return took, err
}

func refusal(resp *http.Response) error {
	if resp.StatusCode == http.StatusNoContent {
		return nil
	}
	return fmt.Errorf("%w: it answers %s", ipfs.ErrUnavailable, resp.Status)
}

// Records are the peers, and the DHT that the node takes part in, if any: each an
// [ipfs.RecordsSource] and an [ipfs.RecordSink].
func (n *Network) Records() []fmt.Stringer {
	if !n.node.HasDHT() {
		return []fmt.Stringer{&Records{n}}
	}
	return []fmt.Stringer{&Records{n}, &DHT{n.node}}
}

// Records are what peers know of names that move. It is an [ipfs.RecordsSource] and an
// [ipfs.RecordSink].
type Records struct{ n *Network }

func (r *Records) String() string { return "peers" }

// Records implements [ipfs.RecordsSource].
func (r *Records) Records(ctx context.Context, name string, yield func(from string, raw []byte, age time.Duration, err error)) {
	peers := r.n.names.node.Peers()
	if len(peers) == 0 {
		yield(r.String(), nil, 0, fmt.Errorf("%w: no peer is connected", ipfs.ErrNobody))
		return
	}
	r.n.askPeers(ctx, name, maxHops-1, peers, yield)
}

// PutRecord implements [ipfs.RecordSink]: one peer that takes it is enough.
func (r *Records) PutRecord(ctx context.Context, name string, raw []byte) error {
	took, err := r.n.tellPeers(ctx, name, raw, maxHops-1, r.n.names.node.Peers())
	if took > 0 {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("%w: no peer is connected; who connects later asks by itself", ipfs.ErrUnavailable)
	}
	return err
}

// DHT is the one that a node takes part in. It is an [ipfs.RecordsSource] and an [ipfs.RecordSink].
type DHT struct{ node *p2p.Node }

func (d *DHT) String() string { return "the DHT" }

// routingKey is where a DHT has the record of a name (IPNS record, "Routing Record").
func routingKey(name string) (string, error) {
	c, err := cid.Decode(name)
	return "/ipns/" + string(c.Hash()), err
}

// Records implements [ipfs.RecordsSource]: whoever answers first may have an older record
// than who comes after.
func (d *DHT) Records(ctx context.Context, name string, yield func(from string, raw []byte, age time.Duration, err error)) {
	key, err := routingKey(name)
	if err == nil {
		err = d.node.Values(ctx, key, func(raw []byte) { yield(d.String(), raw, 0, nil) })
	}
	if err != nil {
		yield(d.String(), nil, 0, err)
	}
}

// PutRecord implements [ipfs.RecordSink].
func (d *DHT) PutRecord(ctx context.Context, name string, raw []byte) error {
	key, err := routingKey(name)
	if err != nil {
		return err
	}
	return d.node.PutValue(ctx, key, raw)
}

var (
	_ ipfs.RecordsSource = (*Records)(nil)
	_ ipfs.RecordSink    = (*Records)(nil)
	_ ipfs.RecordsSource = (*DHT)(nil)
	_ ipfs.RecordSink    = (*DHT)(nil)
)
