package network

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/internal/control"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/oci"
)

// known is what a node gives to peers: the blocks that it has, and the empty
// directory, which Kubo has, too, so that there is a block that can be asked of all.
type known struct{ *packstore.Local }

func isKnown(c cid.Cid) bool { return string(c.Hash()) == string(ipfs.EmptyDirectory.Hash()) }

// Has implements [ipfs.Haser].
func (k known) Has(ctx context.Context, c cid.Cid) bool { return isKnown(c) || k.Local.Has(ctx, c) }

// Size implements exchange.Store.
func (k known) Size(ctx context.Context, c cid.Cid) (int64, error) {
	if isKnown(c) {
		return int64(len(ipfs.EmptyDirectoryBlock())), nil
	}
	return k.Local.Size(ctx, c)
}

// Get implements [ipfs.Getter].
func (k known) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if isKnown(c) {
		return ipfs.EmptyDirectoryBlock(), nil
	}
	return k.Local.Get(ctx, c)
}

// View implements [ipfs.Viewer].
func (k known) View(ctx context.Context, c cid.Cid, use func([]byte) error) error {
	if isKnown(c) {
		return use(ipfs.EmptyDirectoryBlock())
	}
	return k.Local.View(ctx, c, use)
}

// Outcomes of a trial.
const (
	Gave   = "gave"   // the block
	Lacks  = "lacks"  // it answers and has no such block, as older versions do
	Failed = "failed" // no answer, or a false one
)

// Trial is what came of asking a peer for a block that every node has.
type Trial struct {
	// Peers has one ID, or, of bitswap, which does not say who answers, all that
	// speak that alone.
	Peers    []string      `json:"peers"`
	Protocol string        `json:"protocol"` // image2ipfs, bitswap, or none for a peer that is not connected
	Outcome  string        `json:"outcome"`
	Took     time.Duration `json:"took"`
	Error    string        `json:"error,omitempty"`
}

const (
	trialsPath = "/trials"
	// tryTime is how long all peers together have; less than the socket waits.
	tryTime = 3 * time.Second
)

func (n *Network) answerTrials(w http.ResponseWriter, r *http.Request) {
	control.Answer(func() []Trial { return n.try(r.Context()) })(w, r)
}

// try asks every connected peer for the empty directory, and names those that were
// to be connected and are not.
func (n *Network) try(ctx context.Context) []Trial {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	trials, connected, bitswap := []Trial{}, map[string]bool{}, []string{}
	for _, p := range n.node.Connected() {
		connected[p.ID] = true
		if slices.Equal(p.Protocols, []string{"bitswap"}) {
			bitswap = append(bitswap, p.ID)
		}
	}
	for _, addr := range n.static {
		if _, id, ok := strings.Cut(addr, "/p2p/"); ok && !connected[id] && id != n.node.ID() {
			connected[id] = true // named once
			trials = append(trials, Trial{Peers: []string{id}, Protocol: "none", Outcome: Failed, Error: "it is not connected"})
		}
	}
	far := make(chan Trial, 1)
	if len(bitswap) > 0 {
		go func() { far <- n.tryBitswap(ctx, bitswap) }()
	}
	for _, t := range n.exchange.Try(ctx, ipfs.EmptyDirectory) {
		trials = append(trials, newTrial([]string{t.Peer}, "image2ipfs", t.Took, t.Err))
	}
	if len(bitswap) > 0 {
		trials = append(trials, <-far)
	}
	return trials
}

func (n *Network) tryBitswap(ctx context.Context, ids []string) Trial {
	began := time.Now()
	err := n.node.Blocks(ctx, []cid.Cid{ipfs.EmptyDirectory}, func(cid.Cid, []byte) error { return nil })
	return newTrial(ids, "bitswap", time.Since(began), err)
}

func newTrial(ids []string, protocol string, took time.Duration, err error) Trial {
	t := Trial{Peers: ids, Protocol: protocol, Outcome: Gave, Took: took}
	if errors.Is(err, ipfs.ErrNotFound) {
		t.Outcome = Lacks
	} else if err != nil {
		t.Outcome, t.Error = Failed, err.Error()
	}
	return t
}

// Try has the server that runs on the store in dir ask each of its peers for a block.
// The error matches [ipfs.ErrUnavailable] when none runs with peers;
// ok is false when the server is of a version that cannot.
func Try(ctx context.Context, dir string) (trials []Trial, ok bool, err error) {
	err = control.Ask(ctx, dir, trialsPath, &trials)
	if errors.Is(err, control.ErrUnknown) {
		return nil, false, nil
	}
	return trials, err == nil, err
}

// Outcome tells in words what came of trials, and whether a peer gave a block and
// whether one failed.
func Outcome(trials []Trial) (text string, gave, failed bool) {
	var parts []string
	for _, t := range trials {
		who := "peer " + strings.Join(t.Peers, ", ")
		if t.Protocol == "bitswap" {
			who = fmt.Sprintf("of %d by bitswap one", len(t.Peers))
		}
		switch t.Outcome {
		case Gave:
			gave = true
			parts = append(parts, fmt.Sprintf("%s gave a block in %v", who, t.Took.Round(time.Millisecond)))
		case Lacks:
			parts = append(parts, who+" answers, but is of an older version, which has no block to try")
		default:
			failed = true
			parts = append(parts, who+" gave none: "+t.Error)
		}
	}
	return oci.Quoted(strings.Join(parts, "; ")), gave, failed
}
