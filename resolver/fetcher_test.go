package resolver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/errdefs"
	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// An interrupted layer goes on where it stopped: what was read is not fetched
// again, and neither is what lies between ranges.
func TestFetchReadsRanges(t *testing.T) {
	im := publish(t, 1)
	var n counted
	r := newResolver(t, WithReadAhead(0), WithBlocks(gatewayAt(t, i2i(t, im.blocks, n.wrap), true)))
	rc, err := fetcher(t, r, im).Fetch(t.Context(), im.large)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	s := rc.(io.ReadSeekCloser)
	n.raw.Store(0)
	offset := int64(len(im.content) - 100)
	if at, err := s.Seek(-100, io.SeekEnd); err != nil || at != offset {
		t.Fatalf("Seek = %d, %v", at, err)
	}
	tail, err := io.ReadAll(s)
	if err != nil || !bytes.Equal(tail, im.content[offset:]) {
		t.Fatalf("the last %d bytes: %v", len(tail), err)
	}
	if n.raw.Load() > 2 || n.car.Load() != 0 {
		t.Errorf("%d blocks and %d CARs for the last 100 bytes", n.raw.Load(), n.car.Load())
	}
	if _, err := s.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if all, err := io.ReadAll(s); err != nil || !bytes.Equal(all, im.content) {
		t.Errorf("the whole: %d bytes, %v", len(all), err)
	}
	if _, err := s.Seek(0, 3); err == nil {
		t.Error("seek from nowhere works")
	}
	defer func() {
		if _, err := s.Seek(0, io.SeekStart); err == nil {
			t.Error("what is closed can be sought in")
		}
	}()
	defer s.Close()
	if _, err := s.Seek(-1, io.SeekStart); err == nil {
		t.Error("seek before the start")
	}
	if err := rc.Close(); err != nil {
		t.Error(err)
	}
	if _, err := rc.Read(make([]byte, 1)); err == nil {
		t.Error("read after Close")
	}
}

// Many small blocks one by one are slow over a distance: one CAR must do.
func TestFetchStreamsCARs(t *testing.T) {
	im := publish(t, 1)
	var n counted
	r := newResolver(t, WithTimeouts(Timeouts{Hedge: time.Hour}), WithBlocks(gatewayAt(t, i2i(t, im.blocks, n.wrap), true)))
	f := fetcher(t, r, im)
	if _, err := fetch(t.Context(), f, im.small); err != nil {
		t.Fatal(err)
	}
	n.raw.Store(0)
	data, err := fetch(t.Context(), f, im.large)
	if err != nil || !bytes.Equal(data, im.content) {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
	if n.car.Load() != 1 || n.raw.Load() != 1 {
		t.Errorf("%d CARs and %d single blocks for a layer, want 1 and its first block", n.car.Load(), n.raw.Load())
	}
}

// stuck is a source of which a stream stands still after its first blocks.
type stuck struct {
	*testlayout.Blocks
	asked atomic.Int64
}

func (s *stuck) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	s.asked.Add(1)
	return s.Blocks.Get(ctx, c)
}

func (s *stuck) Stream(ctx context.Context, root cid.Cid, yield func(cid.Cid, []byte) error) error {
	var errs []error
	n := 0
	errs = append(errs, ipfs.Blocks(ctx, s.Blocks, root, 0, func(c cid.Cid, _ int64) bool {
		if n++; n <= 3 {
			data, err := s.Blocks.Get(ctx, c)
			if err == nil {
				err = yield(c, data)
			}
			errs = append(errs, err)
		}
		return true
	}))
	<-ctx.Done()
	return errors.Join(append(errs, ctx.Err())...)
}

// A layer of which no more is wanted costs no question for what the stream was to
// bring.
func TestCloseAsksForNothing(t *testing.T) {
	im := publish(t, 1)
	from := &stuck{Blocks: im.blocks}
	r := newResolver(t, WithTimeouts(Timeouts{Hedge: time.Hour}), WithBlocks(from))
	for range 200 { // the reads race with Close
		rc, err := fetcher(t, r, im).Fetch(t.Context(), im.large)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rc.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		asked := from.asked.Load()
		if err := rc.Close(); err != nil || from.asked.Load() != asked {
			t.Errorf("Close: %v, %d blocks were asked for", err, from.asked.Load()-asked)
		}
	}
}

// io.Reader allows to ask for nothing, and some do.
func TestReadOfNothing(t *testing.T) {
	im := publish(t, 1)
	rc, err := fetcher(t, newResolver(t, WithStore(im.blocks)), im).Fetch(t.Context(), im.large)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if n, err := rc.Read(nil); n != 0 || err != nil { // or it never ends
		t.Errorf("%d bytes, %v", n, err)
	}
}

// The store already holds what other images have in common with this one.
func TestFetchPrefersStore(t *testing.T) {
	im := publish(t, 1)
	var n counted
	r := newResolver(t, WithBlocks(gatewayAt(t, i2i(t, im.blocks, n.wrap), true)), WithStore(im.blocks))
	if err := im.pull(t, r); err != nil {
		t.Fatal(err)
	}
	if n.raw.Load()+n.car.Load() != 0 {
		t.Errorf("%d blocks and %d CARs from the gateway, though all is in the store", n.raw.Load(), n.car.Load())
	}
}

func TestFetchByDigest(t *testing.T) {
	im := publish(t, 1)
	f := fetcher(t, newResolver(t, WithStore(im.blocks)), im)
	rc, desc, err := f.FetchByDigest(t.Context(), im.large.Digest, remotes.WithMediaType("application/x"))
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if data, err := io.ReadAll(rc); err != nil || !bytes.Equal(data, im.content) || desc.Size != im.large.Size || desc.Digest != im.large.Digest {
		t.Errorf("%d bytes, %+v, %v", len(data), desc, err)
	}
	if _, _, err := f.FetchByDigest(t.Context(), digest.FromString("none")); !errdefs.IsNotFound(err) {
		t.Errorf("a digest that is not there: %v", err)
	}
	if _, _, err := f.FetchByDigest(t.Context(), "sha256:1"); !errdefs.IsInvalidArgument(err) {
		t.Errorf("no digest: %v", err)
	}
}

// The name is the CID of the layout, but who made the layout may have lied
// about the digests in it.
func TestFetchFalseLayout(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	d := digest.FromString("promised content")
	l.Lie(d, []byte("something else!!"))
	root := l.Publish(l.Image("amd64", noise(1, 10)))
	f, err := newResolver(t, WithStore(blocks)).Fetcher(t.Context(), ref.Ciq(root))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{16, 15, 17} {
		data, err := fetch(t.Context(), f.(*Fetcher), ocispec.Descriptor{Digest: d, Size: size})
		if !errdefs.IsDataLoss(err) || len(data) > 0 {
			t.Errorf("size %d: %q, %v, want data loss and nothing", size, data, err)
		}
	}
	inline := []byte("in the descriptor")
	data, err := fetch(t.Context(), f.(*Fetcher), ocispec.Descriptor{Digest: digest.FromBytes(inline), Size: int64(len(inline)), Data: inline})
	if err != nil || !bytes.Equal(data, inline) {
		t.Errorf("content that only the descriptor holds: %q, %v", data, err)
	}
}

// An image's signature must be found next to it.
func TestFetchReferrers(t *testing.T) {
	im := publish(t, 1)
	f := fetcher(t, newResolver(t, WithStore(im.blocks)), im)
	for range 2 { // the second from memory
		found, err := f.FetchReferrers(t.Context(), im.amd64.Digest)
		if err != nil || len(found) != 1 || found[0].Digest != im.signature.Digest || found[0].ArtifactType != im.signature.ArtifactType {
			t.Errorf("referrers %+v, %v", found, err)
		}
	}
	found, err := f.FetchReferrers(t.Context(), im.amd64.Digest, remotes.WithReferrerArtifactTypes("application/vnd.test.sbom"))
	if err != nil || len(found) != 0 {
		t.Errorf("SBOMs %+v, %v", found, err)
	}
	if found, err = f.FetchReferrers(t.Context(), digest.FromString("x")); err != nil || len(found) != 0 {
		t.Errorf("referrers of nothing: %+v, %v", found, err)
	}
}

// containerd limits how much it downloads at once.
func TestSetOptions(t *testing.T) {
	im := publish(t, 1)
	r := newResolver(t, WithStore(im.blocks))
	limiter := semaphore.NewWeighted(1)
	r.SetOptions(transfer.WithDownloadLimiter(limiter), transfer.WithMaxConcurrentDownloads(2))
	rc, err := fetcher(t, r, im).Fetch(t.Context(), im.large)
	if err != nil {
		t.Fatal(err)
	}
	if limiter.TryAcquire(1) {
		t.Error("an open blob does not count")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := fetcher(t, r, im).Fetch(ctx, im.small); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second blob: %v", err)
	}
	rc.Close()
	rc.Close()
	if !limiter.TryAcquire(1) {
		t.Error("a closed blob counts on")
	}
	limiter.Release(1)
	if err := im.pull(t, r); err != nil {
		t.Error(err)
	}
}
