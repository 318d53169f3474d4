package ipfs_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// counting notes which blocks were asked for.
type counting struct {
	ipfs.Getter
	mu    sync.Mutex
	asked map[cid.Cid]int
}

func (c *counting) Get(ctx context.Context, id cid.Cid) ([]byte, error) {
	c.mu.Lock()
	c.asked[id]++
	c.mu.Unlock()
	return c.Getter.Get(ctx, id)
}

// leaves are the raw blocks that were asked for, each as often as it was.
func (c *counting) leaves() (n, most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, times := range c.asked {
		if id.Prefix().Codec == cid.Raw {
			n, most = n+1, max(most, times)
		}
	}
	return n, most
}

// manyLeaves is a file of n leaves of 100 bytes each, three levels deep.
func manyLeaves(t testing.TB, b *testlayout.Blocks, n int) (c cid.Cid, content []byte) {
	t.Helper()
	const leaf, fan = 100, 8
	var parts []testlayout.Part
	for i := range n {
		data := bytes.Repeat([]byte{byte(i), byte(i >> 8)}, leaf/2)
		link, err := ipfs.AddFile(t.Context(), b, bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		content = append(content, data...)
		parts = append(parts, testlayout.Part{CID: link.CID, Size: leaf})
	}
	for len(parts) > 1 {
		var above []testlayout.Part
		for some := range slices.Chunk(parts, fan) {
			size := 0
			for _, p := range some {
				size += p.Size
			}
			above = append(above, testlayout.Part{CID: testlayout.File(t, b, some...), Size: size})
		}
		parts = above
	}
	return parts[0].CID, content
}

// One byte costs the nodes on the way to it, wherever it is.
func TestSeekReadsNothingBetween(t *testing.T) {
	b := testlayout.NewBlocks()
	c, content := manyLeaves(t, b, 8*8*8)
	for _, at := range []int{0, 1, len(content) / 2, len(content) - 1} {
		g := &counting{Getter: b, asked: map[cid.Cid]int{}}
		f, err := ipfs.OpenFile(t.Context(), g, c, 0)
		if err != nil {
			t.Fatal(err)
		}
		one := make([]byte, 1)
		if _, err := f.Seek(int64(at), io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Read(one); err != nil || one[0] != content[at] {
			t.Errorf("byte %d: %v (%v)", at, one, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if len(g.asked) != 4 { // the root, two nodes below it, and the leaf
			t.Errorf("byte %d: %d blocks were read", at, len(g.asked))
		}
	}
}

// What is expected is read ahead, all of it, and nothing else, whatever it is; what was
// not expected is right as well.
func TestExpect(t *testing.T) {
	b := testlayout.NewBlocks()
	c, content := manyLeaves(t, b, 300)
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var parts []ipfs.Extent
		for at := int64(0); len(parts) < 1+r.IntN(6); {
			at = min(at+r.Int64N(9000), int64(len(content))-1)
			end := min(at+1+r.Int64N(2500), int64(len(content)))
			parts = append(parts, ipfs.Extent{Start: at, End: end})
			at = end
		}
		if seed%4 == 3 { // in any order, also again
			r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		}
		touched := map[int64]bool{}
		for _, p := range parts {
			for leaf := p.Start / 100; leaf <= (p.End-1)/100; leaf++ {
				touched[leaf] = true
			}
		}
		g := &counting{Getter: b, asked: map[cid.Cid]int{}}
		readParts(t, g, c, content, parts, int(seed%3)*8)
		if n, most := g.leaves(); n != len(touched) || most > 1 && seed%4 != 3 {
			t.Fatalf("seed %d: %v: %d leaves were read, one up to %d times, of %d", seed, parts, n, most, len(touched))
		}
	}
}

// readParts reads parts of a file after saying so.
func readParts(t *testing.T, g ipfs.Getter, c cid.Cid, content []byte, parts []ipfs.Extent, ahead int) {
	t.Helper()
	f, err := ipfs.OpenFile(t.Context(), g, c, ahead)
	if err != nil {
		t.Fatal(err)
	}
	f.Expect(parts...)
	for _, p := range parts {
		if _, err := f.Seek(p.Start, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, p.End-p.Start)
		if _, err := io.ReadFull(f, got); err != nil || !bytes.Equal(got, content[p.Start:p.End]) {
			t.Fatalf("%v of %v: other bytes (%v)", p, parts, err)
		}
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
