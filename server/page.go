package server

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/server/page"
)

// storedEvery is how often it is noted for the page how much is stored.
const storedEvery = 5 * time.Minute

// maxListeners is how many are told of pushes as they come.
const maxListeners = 64

// openPage makes the page that cfg asks for; nil for none.
func (s *Server) openPage() *page.Page {
	if s.cfg.Page == nil {
		return nil
	}
	cfg := *s.cfg.Page
	cfg.Disk, cfg.Version = s.cfg.Disk, s.cfg.Version
	cfg.Limited = s.cfg.Allow != nil // the rest is about more than is served
	cfg.Local, cfg.Memory = ipfs.Verified(s.local), s.memory
	cfg.Kept, cfg.Shown, cfg.MayAsk = s.shown, s.isShown, mayFetch
	cfg.Say = func(text string) string { return clientText(text, s.cfg.Dir) }
	if s.cfg.Stored != nil {
		_ = s.life.start(s.noteStored) // it has just begun
	}
	return page.New(cfg, &s.traffic, &s.pushes)
}

// shown lists the roots that may be seen.
func (s *Server) shown(ctx context.Context) (shown []ipfs.Root, err error) {
	if s.cfg.Kept == nil {
		return nil, nil
	}
	kept, err := s.cfg.Kept(ctx)
	if err != nil {
		return nil, err
	}
	for _, root := range kept {
		if s.permit(ctx, root.CID) == nil {
			shown = append(shown, root)
		}
	}
	return shown, nil
}

// storedShown tells how much is stored of what may be seen.
func (s *Server) storedShown(ctx context.Context) (sum Stored, err error) {
	if s.cfg.Allow == nil {
		return s.cfg.Stored(ctx)
	}
	roots, err := s.shown(ctx)
	for _, root := range roots {
		sum.Roots, sum.Bytes = sum.Roots+1, sum.Bytes+root.Size
	}
	return sum, err
}

// noteStored notes how much is stored, again and again.
func (s *Server) noteStored() {
	ticker := time.NewTicker(storedEvery)
	defer ticker.Stop()
	for {
		if stored, err := s.storedShown(s.life.ctx); err == nil { // else the metrics tell
			s.traffic.Stored(time.Now(), stored.Roots, stored.Bytes)
		}
		select {
		case <-s.life.ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// browse serves the page, to those who may list what is published.
func (s *Server) browse(w *response, r *http.Request) error {
	if !s.live.Load().Catalog && !s.isFromHere(r) {
		return errorf(codeDenied, "the page is for requests from this machine alone: start the server with --catalog to show it to everyone")
	}
	if err := s.present(); err != nil {
		return err
	}
	if r.URL.Query().Get("view") == "events" {
		return s.listen(w, r)
	}
	w.source = "page"
	r = r.WithContext(ipfs.WithRoom(r.Context(), manifestMemory{s.memory}))
	err := s.page.Serve(w, r, s.pageAsker(r))
	if errors.Is(err, page.ErrNoView) {
		return errorf(codeNameUnknown, "%w", err)
	}
	return absent(codeNameUnknown, err)
}

func (s *Server) pageAsker(r *http.Request) page.Asker {
	return page.Asker{Host: s.registryHost(r), Secure: s.secureFor(r), Here: s.isFromHere(r)}
}

// wantsPage tells whether a browser asks for the page, which shows errors as it shows all else.
func (s *Server) wantsPage(r *http.Request) bool {
	return s.page != nil && r.URL.Path == "/" && isRead(r.Method) && strings.Contains(strings.Join(r.Header.Values("Accept"), ","), "text/html")
}

// secureFor tells whether engines find the server that a request names by TLS: by what the
// request, or a proxy that is to be believed, tells. Nothing tells how --registry is found,
// and no name but this machine's is taken to be found without.
func (s *Server) secureFor(r *http.Request) bool {
	if s.cfg.Registry != "" {
		return !loopbackHost(s.cfg.Registry)
	}
	return r.TLS != nil || s.byProxy(r) && overTLS(r.Header)
}

// loopbackHost tells whether a host, with or without a port, is this machine's loopback.
func loopbackHost(host string) bool {
	name := strings.ToLower(strings.Trim(hostName(host), "[]"))
	addr, err := netip.ParseAddr(name)
	return loopbackName(name) || err == nil && addr.Unmap().IsLoopback()
}

// listen tells a browser of pushes as they come. Who has more places than others gives
// one back when they are all taken and somebody else wants one; browsers ask again.
func (s *Server) listen(w *response, r *http.Request) error {
	ctx, cut := context.WithCancel(r.Context())
	defer cut()
	since := time.Now()
	patient, cancel := context.WithTimeout(budget.With(ctx, &budget.Holder{
		Origin: s.requestOrigin(r), Moved: func() time.Time { return since }, Cut: cut,
	}), placePatience)
	defer cancel()
	leave, err := s.listeners.Take(patient, 1)
	if err != nil {
		return errorf(codeTooMany, "too many listen to pushes already: try again")
	}
	defer leave()
	if !s.pushes.Stream(w, r.WithContext(ctx), s.isShown(r.Context())) {
		return errorf(codeUnavailable, "this server ends, and tells of no pushes any more")
	}
	return nil
}

// isShown tells of which pushes those may hear who see what ctx's request may.
func (s *Server) isShown(ctx context.Context) func(page.Push) bool {
	return func(push page.Push) bool {
		root, err := ref.ParseRoot(push.Root)
		return err == nil && s.permit(ctx, root) == nil
	}
}

// tellPage tells the page of what was pushed by a tag.
func (s *Server) tellPage(e PushEvent) {
	if e.Root == nil {
		return
	}
	name := e.Name
	if e.Tag != "" {
		name += ":" + e.Tag
	}
	s.pushes.Tell(page.Push{Time: e.Time, Name: name, Root: e.Root.Ciq, Size: e.Size, New: e.NewBytes})
}
