package trust

import (
	"slices"
	"sync"

	"github.com/ipfs/go-cid"
)

// Kept remembers what names that move meant when that was signed as required, so that it
// can be given as long as what they mean now is not. It is safe for concurrent use, and its
// zero value remembers nothing.
type Kept struct {
	mu    sync.Mutex
	roots map[string]cid.Cid
	order []string // last noted at the end
}

// maxKept is how many names are remembered.
const maxKept = 4096

// Note remembers that what a name, however precise, means under root is signed.
func (k *Kept) Note(name string, root cid.Cid) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if known, ok := k.roots[name]; ok && known == root {
		return
	}
	if k.roots == nil {
		k.roots = map[string]cid.Cid{}
	}
	if i := slices.Index(k.order, name); i >= 0 {
		k.order = slices.Delete(k.order, i, i+1)
	} else if len(k.order) == maxKept {
		delete(k.roots, k.order[0])
		k.order = slices.Delete(k.order, 0, 1)
	}
	k.roots[name] = root
	k.order = append(k.order, name)
}

// Before lists the roots in which a name may be looked up when what it means now is not
// signed: those that it meant before, the latest first, and the last that was noted.
func (k *Kept) Before(name string, before []cid.Cid) []cid.Cid {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := slices.Clone(before)
	if root, ok := k.roots[name]; ok && !slices.Contains(all, root) {
		all = append(all, root)
	}
	return all
}
