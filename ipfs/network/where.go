package network

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/internal/control"
	"github.com/image2ipfs/image2ipfs/ipfs/exchange"
	"github.com/image2ipfs/image2ipfs/ipfs/holders"
	"github.com/image2ipfs/image2ipfs/ipfs/p2p"
)

// Holder is a connected peer, and what it says that it has of an image.
type Holder struct {
	Peer
	// State is one of the exchange's words, such as [exchange.HasAll]; empty of a peer
	// that was not asked, since it speaks bitswap alone, or gave no answer.
	State string    `json:"state"`
	Files []cid.Cid `json:"files"` // of those asked for, which a peer with a part has
	Error string    `json:"error,omitempty"`
}

// Whereabouts is who has an image, as far as a node's peers and routers know.
type Whereabouts struct {
	Holders   []Holder       `json:"holders"`
	Providers []p2p.Provider `json:"providers"`
	Error     string         `json:"error,omitempty"` // of the routers, if there are any
}

const (
	wherePath = "/where/"
	fileParam = "file"
	// whereTime is how long who asks on the socket waits: longer than routers are asked.
	whereTime = 30 * time.Second
)

// Where finds out who has the image under root, and of those who have a part of it which
// of some files.
func (n *Network) Where(ctx context.Context, root cid.Cid, files []cid.Cid) (w Whereabouts) {
	said := map[string]exchange.Holding{}
	for _, h := range n.exchange.Holdings(ctx, root, files) {
		said[h.Peer] = h
	}
	w.Holders = []Holder{}
	for _, p := range n.Connected() {
		h := said[p.ID]
		holder := Holder{Peer: p, State: h.State, Files: h.Files}
		if h.Err != nil {
			holder.Error = h.Err.Error()
		}
		w.Holders = append(w.Holders, holder)
	}
	providers, err := n.node.Providers(ctx, root)
	w.Providers = providers
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		w.Error = err.Error()
	}
	return w
}

func (n *Network) answerWhere(w http.ResponseWriter, r *http.Request) {
	root, err := cid.Decode(r.PathValue("root"))
	var files []cid.Cid
	for _, text := range r.URL.Query()[fileParam] {
		if err == nil {
			var c cid.Cid
			c, err = cid.Decode(text)
			files = append(files, c)
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	control.Answer(func() Whereabouts { return n.Where(r.Context(), root, files) })(w, r)
}

// Tell adds what peers and routers say to a search.
func (w Whereabouts) Tell(s *holders.Search) {
	connected := map[string]bool{}
	for _, p := range w.Holders {
		connected[p.ID] = true
		p.tell(s)
	}
	for _, p := range w.Providers {
		if !connected[p.ID] {
			s.Unasked(holders.Holder{Kind: holders.Provider, Name: p.ID, Addrs: p.Addrs, How: "named by " + p.Router}, "")
		}
	}
	if w.Error != "" {
		s.Unasked(holders.Holder{Kind: holders.Provider, Name: "routers", How: "were asked"}, w.Error)
	}
}

func (p Holder) tell(s *holders.Search) {
	h := holders.Holder{Kind: holders.Peer, Name: p.ID, Addrs: []string{p.Addr}, How: "says so"}
	switch {
	case p.Error != "":
		h.How = "was asked"
		s.Unasked(h, p.Error)
	case p.State == "":
		h.How = "speaks bitswap alone, in which nobody says what there is"
		s.Unasked(h, "")
	case p.State == exchange.HasAll:
		s.Whole(h)
	case p.State == exchange.HasNone:
		s.Nothing(h)
	default:
		if p.State == exchange.Fetching {
			h.How = "says so, and that it is fetching the rest"
		}
		s.Files(h, p.Files)
	}
}

// Where has the server that runs on the store in dir find out who has an image, as
// [Network.Where] does. The error matches [ipfs.ErrUnavailable] when none runs with peers;
// ok is false when the server is of a version that cannot.
func Where(ctx context.Context, dir string, root cid.Cid, files []cid.Cid) (w Whereabouts, ok bool, err error) {
	query := url.Values{}
	for _, c := range files {
		query.Add(fileParam, c.String())
	}
	err = control.AskWithin(ctx, whereTime, dir, wherePath+root.String()+"?"+query.Encode(), &w)
	if errors.Is(err, control.ErrUnknown) {
		return w, false, nil
	}
	return w, err == nil, err
}
