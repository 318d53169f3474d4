package network

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/control"
	"github.com/image2ipfs/image2ipfs/oci"
)

const (
	dialPath = "/dial"
	dialTime = 30 * time.Second // for all that are to be dialled
	maxDials = 32
)

// Dialled is what came of dialling the peers at some multiaddrs.
type Dialled struct {
	Peers []string `json:"peers"`           // IDs of those that are connected now
	Error string   `json:"error,omitempty"` // of the others
}

// answerDial connects to peers for [Dial].
func (n *Network) answerDial(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), dialTime)
	defer cancel()
	addrs := r.URL.Query()["addr"]
	peers, err := n.node.Dial(ctx, addrs[:min(len(addrs), maxDials)])
	answer := Dialled{Peers: append([]string{}, peers...)}
	if err != nil {
		answer.Error = err.Error()
	}
	control.Answer(func() Dialled { return answer })(w, r)
}

// Dial has the server that runs on the store in dir connect to the peers at multiaddrs, so
// that they need not find it. Errors are those of asking, and match [ipfs.ErrUnavailable]
// when none runs with peers.
func Dial(ctx context.Context, dir string, addrs []string) (d Dialled, err error) {
	err = control.AskWithin(ctx, dialTime+5*time.Second, dir, dialPath+"?"+url.Values{"addr": addrs}.Encode(), &d)
	d.Error = oci.Quoted(d.Error)
	return d, err
}
