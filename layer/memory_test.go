package layer

import (
	"bytes"
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
		var before, after runtime.MemStats
		for range 3 { // workers share what they use, and not each has something to do
			compress(t, bytes.NewReader(in), o)
		}
		runtime.ReadMemStats(&before)
		compress(t, bytes.NewReader(in), o)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > most {
			t.Errorf("%s: the next layer takes %d KiB", o, n>>10)
		}
	}
}
