package trust

import (
	"slices"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/ipfs/go-cid"
)

// Kept remembers what names that move meant when that was signed as required, so that it
// can be given as long as what they mean now is not. It is safe for concurrent use, and its
// zero value remembers nothing.
type Kept struct {
	mu    sync.Mutex
	roots *simplelru.LRU[string, cid.Cid]
}

// maxKept is how many names are remembered: those that were asked for last.
const maxKept = 4096

// Note remembers that what a name, however precise, means under root is signed.
func (k *Kept) Note(name string, root cid.Cid) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.roots == nil {
		k.roots, _ = simplelru.NewLRU[string, cid.Cid](maxKept, nil) // fails for sizes below 1 alone
	}
	k.roots.Add(name, root)
}

// Before lists the roots in which a name may be looked up when what it means now is not
// signed: those that it meant before, the latest first, and the last that was noted.
func (k *Kept) Before(name string, before []cid.Cid) []cid.Cid {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := slices.Clone(before)
	if k.roots == nil {
		return all
	}
	if root, ok := k.roots.Get(name); ok && !slices.Contains(all, root) {
		all = append(all, root)
	}
	return all
}
