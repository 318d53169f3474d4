package pushed

import (
	"cmp"
	"errors"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// Stored is a blob of which little was in the store.
type Stored struct {
	Digest digest.Digest
	Size   int64
	New    int64 // bytes that were stored for it
}

// leastTold is the size from which it matters what a blob shares.
const leastTold = 1 << 20

// maxArrivals is how many blobs are remembered that no manifest needs yet; where there are
// more all are forgotten.
const maxArrivals = 100_000

// arrivals are how many bytes were stored for blobs that came by this process and that no
// manifest has needed since.
type arrivals struct {
	mu sync.Mutex
	of map[ipfs.Key]int64
}

func (f *arrivals) add(k ipfs.Key, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == nil || len(f.of) >= maxArrivals {
		f.of = map[ipfs.Key]int64{}
	}
	f.of[k] += max(bytes, 0) // -1 is not known
}

// take gives what was added for a key, once.
func (f *arrivals) take(k ipfs.Key) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.of[k]
	delete(f.of, k)
	return n
}

// news tells what was stored for what a weaver has put, in bytes, and the blobs of
// which nine tenths and more were new, the largest first.
func (w *weaver) news(own ipfs.Stats) (bytes int64, unshared []Stored) {
	bytes = max(own.NewBytes, 0)
	for d, f := range w.found {
		n := w.g.arrived.take(blobKey(w.repository, d))
		bytes += n
		if f.Size >= leastTold && n > f.Size/10*9 {
			unshared = append(unshared, Stored{d, f.Size, n})
		}
	}
	slices.SortFunc(unshared, func(a, b Stored) int { return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Digest, b.Digest)) })
	return bytes, unshared
}

// had tells whether a tag had a root before.
func (w *weaver) had(tag string) (bool, error) {
	_, v, err := read[tagValue](w.ctx, w.g.store, tagKey(w.repository, tag))
	if errors.Is(err, oci.ErrNotFound) {
		return false, nil
	}
	return v.Root, err
}
