package server

import (
	"net/http"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ref"
)

const (
	// useAgain is after what time it is told again that a root is pulled.
	useAgain = 10 * time.Minute
	// maxUses is of how many roots and manifests it is remembered when that was told; where there are
	// more all are forgotten.
	maxUses = 10_000
)

// uses remembers of which roots it was told that they are pulled.
type uses struct {
	mu   sync.Mutex
	told map[string]time.Time // by root, or by repository and digest
}

// due tells whether it is time to tell of something, and takes it as told.
func (u *uses) due(what string, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if last, known := u.told[what]; known && now.Sub(last) < useAgain {
		return false
	}
	if u.told == nil || len(u.told) >= maxUses {
		u.told = map[string]time.Time{}
	}
	u.told[what] = now
	return true
}

// noteHolders tells that a manifest is pulled by its digest from a local name: of the roots
// that have it, or without one of what its own record keeps. Each is found at most once in
// a while.
func (s *Server) noteHolders(r *request, d digest.Digest) {
	if s.cfg.Used == nil || s.cfg.UsedHeld == nil || !s.uses.due(r.name+"@"+d.String(), time.Now()) {
		return
	}
	roots, hold, err := s.cfg.Pushed.Holders(r.Context(), r.name, d)
	for _, root := range roots {
		s.noteUse(r.Request, root)
	}
	if err == nil && hold.Defined() {
		err = s.cfg.UsedHeld(hold)
	}
	if err != nil && r.Context().Err() == nil {
		s.log.WarnContext(r.Context(), "when this was pulled is not noted", "repository", r.name, "digest", d, "error", err)
	}
}

// noteUse tells that a root is pulled.
func (s *Server) noteUse(r *http.Request, root cid.Cid) {
	if s.cfg.Used == nil || !s.uses.due(root.KeyString(), time.Now()) {
		return
	}
	if err := s.cfg.Used(root); err != nil {
		s.log.WarnContext(r.Context(), "when this was pulled is not noted", "root", ref.Ciq(root), "error", err)
	}
}
