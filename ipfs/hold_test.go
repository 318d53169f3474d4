package ipfs

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/oci"
)

// counted is a room that counts.
type counted struct{ reading, decoding, most int64 }

func (c *counted) Reading(_ context.Context, n int64) (func(), error) {
	c.reading += n
	c.most = max(c.most, n)
	return func() { c.reading -= n }, nil
}

func (c *counted) Decoding(_ context.Context, n int64) (func(), error) {
	c.decoding += n
	c.most = max(c.most, n)
	return func() { c.decoding -= n }, nil
}

type held map[cid.Cid][]byte

func (h held) Get(_ context.Context, c cid.Cid) ([]byte, error) { return h[c], nil }

func (h held) Put(_ context.Context, c cid.Cid, data []byte) error {
	h[c] = bytes.Clone(data)
	return nil
}

// What strangers have read and decoded is counted while it is held, and given back:
// else a server that is asked for enough of it runs out of memory, or of room.
func TestRoomIsTakenAndGivenBack(t *testing.T) {
	store, room := held{}, &counted{}
	link, err := AddFile(t.Context(), store, strings.NewReader(strings.Repeat("x", 100_000)))
	if err != nil {
		t.Fatal(err)
	}
	ctx := WithRoom(t.Context(), room)
	if _, err := ReadFile(ctx, store, link.CID, 1<<20); err != nil {
		t.Fatal(err)
	}
	release, err := HoldDecoding(ctx, []byte(`{"urls":["","",""]}`))
	if err != nil || room.decoding < 3*16 {
		t.Errorf("%d bytes held, %v", room.decoding, err)
	}
	release()
	if room.most != 100_000 || room.reading != 0 || room.decoding != 0 {
		t.Errorf("%+v", room)
	}
	if costly := "[" + strings.Repeat(`"",`, 1<<20) + `""]`; JSONWeight([]byte(costly)) < 16<<20 {
		t.Errorf("a million empty strings weigh %d", JSONWeight([]byte(costly)))
	} else if _, err := HoldDecoding(ctx, []byte(costly)); !errors.Is(err, oci.ErrLimit) {
		t.Errorf("a million empty strings are decoded: %v", err)
	}
	if costly := "[" + strings.Repeat(`{},`, 1<<20) + `{}]`; JSONWeight([]byte(costly)) < 200<<20 { // descriptors, in a slice that grows
		t.Errorf("a million empty objects weigh %d", JSONWeight([]byte(costly)))
	}
	index := `{"manifests":[` + strings.Repeat(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:`+strings.Repeat("0", 64)+`","size":1},`, 24_000) + `{}]}`
	if release, err = HoldDecoding(ctx, []byte(index)); err != nil {
		t.Errorf("an index of %d bytes is refused: %v", len(index), err)
	} else {
		release()
	}
}
