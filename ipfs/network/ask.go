package network

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/control"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/p2p"
	"github.com/image2ipfs/image2ipfs/oci"
)

// Identity is who a node is.
type Identity struct {
	ID      string   `json:"id"`
	Addrs   []string `json:"addrs"` // multiaddrs with the ID; none when no server with peers runs
	Running bool     `json:"running"`
}

const (
	identityPath = "/id"
	peersPath    = "/peers"
	fetchesPath  = "/fetches"
)

// answers is what a server tells on its socket.
func (n *Network) answers(fetchesFor string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+identityPath, control.Answer(func() Identity {
		return Identity{ID: n.node.ID(), Addrs: n.node.Addrs(), Running: true}
	}))
	mux.HandleFunc("GET "+peersPath, control.Answer(n.Connected))
	mux.HandleFunc("GET "+fetchesPath, control.Answer(func() string { return fetchesFor }))
	mux.HandleFunc("GET "+dialPath, control.Patient(dialTime+5*time.Second, n.answerDial))
	mux.HandleFunc("GET "+trialsPath, n.answerTrials)
	mux.HandleFunc("GET "+wherePath+"{root}", control.Patient(whereTime, n.answerWhere))
	return mux
}

// ReadIdentity asks the server that runs on the store in dir, else reads its key,
// which is made when there is none.
func ReadIdentity(ctx context.Context, dir string) (id Identity, err error) {
	err = control.Ask(ctx, dir, identityPath, &id)
	if !errors.Is(err, ipfs.ErrUnavailable) {
		return id, err
	}
	key, err := p2p.LoadIdentity(dir)
	if err != nil {
		return id, err
	}
	id.Addrs = []string{}
	id.ID, err = p2p.PeerID(key)
	return id, err
}

// Peers asks the server that runs on the store in dir for its peers. The error
// matches [ipfs.ErrUnavailable] when none runs with peers.
func Peers(ctx context.Context, dir string) ([]Peer, error) {
	peers := []Peer{}
	err := control.Ask(ctx, dir, peersPath, &peers)
	return peers, err
}

// FetchesFor asks the server that runs on the store in dir for whom it fetches what
// its peers have; it is empty when that server is of a version that does not tell. The
// error matches [ipfs.ErrUnavailable] when none runs with peers.
func FetchesFor(ctx context.Context, dir string) (who string, err error) {
	err = control.Ask(ctx, dir, fetchesPath, &who)
	if errors.Is(err, control.ErrUnknown) {
		return "", nil
	}
	return oci.Quoted(who), err
}
