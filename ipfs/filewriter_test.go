package ipfs_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// slowPutter checks blocks after others were cut, and fails at the block fails.
type slowPutter struct {
	t     *testing.T
	puts  int
	fails int
}

var errFull = errors.New("the disk is full")

func (p *slowPutter) Put(_ context.Context, c cid.Cid, data []byte) error {
	for range 100 {
		runtime.Gosched()
	}
	if err := ipfs.VerifyBlock(c, data); err != nil {
		p.t.Error(err)
	}
	p.puts++
	if p.puts == p.fails {
		return errFull
	}
	return nil
}

func noise(size int) []byte {
	data := make([]byte, size)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// Blocks are put while the next are cut: were their memory used again too
// early, the store would hold other bytes than the CIDs say.
func TestBlocksKeepTheirBytesUntilPut(t *testing.T) {
	p := &slowPutter{t: t}
	const leaves = 24
	if _, err := ipfs.AddFile(t.Context(), p, bytes.NewReader(noise(leaves<<20))); err != nil {
		t.Fatal(err)
	}
	if want := leaves + 1; p.puts != want {
		t.Errorf("%d blocks were put, want %d", p.puts, want)
	}
}

// A full disk must not pass for a file that was stored.
func TestAddFileReportsAFailedPut(t *testing.T) {
	data := noise(12 << 20)
	for _, fails := range []int{1, 6, 13} { // the first, one between, the node above all
		p := &slowPutter{t: t, fails: fails}
		if _, err := ipfs.AddFile(t.Context(), p, bytes.NewReader(data)); !errors.Is(err, errFull) {
			t.Errorf("block %d was refused, AddFile says %v", fails, err)
		}
		if p.puts != fails {
			t.Errorf("block %d was refused, but %d were put", fails, p.puts)
		}
	}
}
