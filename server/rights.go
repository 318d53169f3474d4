package server

import (
	"context"
	"net/http"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/internal/websafe"
)

// fetchKey is the key under which a context says that this server fetches for
// whoever asks.
type fetchKey struct{}

// admit gives r the right to have things fetched for it, if it has it.
func (s *Server) admit(r *http.Request) *http.Request {
	if s.cfg.Open || s.cfg.OpenHere && s.isFromHere(r) {
		return r.WithContext(withRight(r.Context(), true))
	}
	return r
}

// isFromHere tells whether a request comes from this machine, and not from a web
// page that has its own name point here.
func (s *Server) isFromHere(r *http.Request) bool {
	return fromHere(r) && websafe.IsLocalHost(r.Host, s.cfg.Hosts...)
}

// mayFetch tells whether this server fetches for the request of a context.
func mayFetch(ctx context.Context) bool { return ctx.Value(fetchKey{}) != nil }

// withRight gives work that outlives a request, of which many may wait for the
// result, the right of that request.
func withRight(ctx context.Context, right bool) context.Context {
	if !right {
		return ctx
	}
	return context.WithValue(ctx, fetchKey{}, true)
}

// rootQuestion is what is found out about a root: not the same for those for whom
// all sources are asked as for others.
type rootQuestion struct {
	root  cid.Cid
	right bool
}

// logFetching says for whom this server fetches what it does not have.
func (s *Server) logFetching() {
	who := "nobody"
	switch {
	case s.cfg.Open:
		who = "everyone"
	case s.cfg.OpenHere:
		who = "requests from this machine (--open: for everyone)"
	}
	if !s.foreign.isEmpty() {
		s.log.Info("fetching what is not here", "for", who, "from", s.foreign.String())
	}
}

// advice says what would have a root found that is not here, for an error; "" if
// all that could be asked was.
func (f *foreign) advice(right bool) string {
	switch {
	case f.isEmpty():
		return "; it is not published here, and this server has no other source: start it with --peers, --mdns, --gateway, --source or --api"
	case !right && f.reserved:
		return "; peers and IPFS nodes are not asked for requests from elsewhere: start the server with --open for that, or pull from 127.0.0.1 on its machine"
	}
	return ""
}
