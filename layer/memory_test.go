package layer

import (
	"bytes"
	"math"
	"runtime"
	"runtime/debug"
	"testing"
)

// An image of a hundred layers is compressed in the memory that one takes: what
// compresses an index is some MiB, and is used again for the next layer.
func TestNextLayerTakesNoNewMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("pools forget under the race detector")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which lets pools forget, too
	in := makeTar(t, tarFile{"a", []byte("a")})
	for o, most := range map[Options]uint64{{}: 700 << 10, lazy: 700 << 10, {Compression: Zstd}: 700 << 10, chunked: 2 << 20} {
		// What is used again lies with a processor; work that comes to one for the first
		// time takes new memory there. So it is the least of several that counts.
		least := uint64(math.MaxUint64)
		for range 8 {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			compress(t, bytes.NewReader(in), o)
			runtime.ReadMemStats(&after)
			least = min(least, after.TotalAlloc-before.TotalAlloc)
		}
		if least > most {
			t.Errorf("%s: the next layer takes %d KiB", o, least>>10)
		}
	}
}
