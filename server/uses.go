package server

import (
	"net/http"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ref"
)

const (
	// useAgain is after what time it is told again that a root is pulled.
	useAgain = 10 * time.Minute
	// maxUses is of how many roots it is remembered when that was told; where there are
	// more all are forgotten.
	maxUses = 10_000
)

// uses remembers of which roots it was told that they are pulled.
type uses struct {
	mu   sync.Mutex
	told map[cid.Cid]time.Time
}

// due tells whether it is time to tell of a root, and takes it as told.
func (u *uses) due(root cid.Cid, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if last, known := u.told[root]; known && now.Sub(last) < useAgain {
		return false
	}
	if u.told == nil || len(u.told) >= maxUses {
		u.told = map[cid.Cid]time.Time{}
	}
	u.told[root] = now
	return true
}

// noteUse tells that a root is pulled.
func (s *Server) noteUse(r *http.Request, root cid.Cid) {
	if s.cfg.Used == nil || !s.uses.due(root, time.Now()) {
		return
	}
	if err := s.cfg.Used(root); err != nil {
		s.log.WarnContext(r.Context(), "when this was pulled is not noted", "root", ref.Ciq(root), "error", err)
	}
}
