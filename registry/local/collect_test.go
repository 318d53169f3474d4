package local_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/registry/local"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// collected is a store as the command has it collected; used are times of last use that
// a test says.
type collected struct {
	*packstore.Store
	used       map[string]time.Time
	frees      func() int64 // instead of GC
	repository string       // of what is pushed; "" for app
}

func (c *collected) Collect(ctx context.Context) (int64, error) {
	if c.frees != nil {
		return c.frees(), nil
	}
	stats, err := c.GC(ctx, packstore.GCOptions{})
	return stats.FreedBytes, err
}

func (c *collected) LastUse(root cid.Cid) time.Time { return c.used[root.KeyString()] }

func newCollected(t *testing.T) *collected {
	t.Helper()
	s, err := packstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &collected{Store: s, used: map[string]time.Time{}}
}

const layerSize = 1 << 20

// push pushes an image of one layer that no other has, by a tag of app.
func (c *collected) push(t *testing.T, tag string, seed byte) cid.Cid {
	t.Helper()
	result, _ := c.put(t, seed, tag)
	return result.Roots[0].CID
}

// put pushes such an image by tags, or by its digest alone.
func (c *collected) put(t *testing.T, seed byte, tags ...string) (pushed.Result, digest.Digest) {
	t.Helper()
	g, repository := pushed.New(c.Store, pushed.Options{}), cmp.Or(c.repository, "app")
	blob := func(data []byte, mediaType string) ocispec.Descriptor {
		u, d := g.Begin(t.Context(), repository, digest.SHA256), digest.FromBytes(data)
		_, err := u.Write(data)
		if err == nil {
			err = u.Commit(t.Context(), d)
		}
		if err != nil {
			t.Fatal(err)
		}
		return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
	}
	layer := make([]byte, layerSize)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(layer)
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Layers: []ocispec.Descriptor{blob(layer, ocispec.MediaTypeImageLayer)}}
	m.SchemaVersion, m.Config = 2, blob([]byte(fmt.Sprintf(`{"architecture":"amd64","os":"linux","author":"%d"}`, seed)), ocispec.MediaTypeImageConfig)
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	desc := ocispec.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	result, err := g.PutManifest(t.Context(), repository, pushed.Manifest{Descriptor: desc, Content: data, Tags: tags})
	if err != nil {
		t.Fatal(err)
	}
	return result, desc.Digest
}

func (c *collected) size(t *testing.T) int64 {
	t.Helper()
	n, err := c.DiskUsage()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A server that clears away by itself keeps what somebody named, published or pulled, and
// frees the rest.
func TestCollectUnused(t *testing.T) {
	c := newCollected(t)
	var roots []cid.Cid
	for seed := range byte(5) {
		roots = append(roots, c.push(t, "1", seed))
	}
	other := c.push(t, "2", 9)
	if err := pin(t, c, roots[1]); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Add(48 * time.Hour)
	c.used[roots[2].KeyString()] = now.Add(-time.Hour)
	before := c.size(t)
	meant := func() (local.Meant, error) { return local.Meant{roots[3].KeyString(): "k51"}, nil }
	collector := local.NewCollector(c, local.CollectorOptions{Unused: 24 * time.Hour, Meant: meant})
	collector.SetNow(func() time.Time { return now })
	done, err := collector.Collect(t.Context())
	if err != nil || len(done.Removed) != 1 || !done.Removed[0].CID.Equals(roots[0]) {
		t.Errorf("removed %v, %v", done.Removed, err)
	}
	for i, want := range map[int]bool{0: false, 1: true, 2: true, 3: true, 4: true} {
		if got := c.Keeps(t.Context(), roots[i]); got != want {
			t.Errorf("the root of push %d is kept: %t, want %t", i, got, want)
		}
	}
	if !c.Keeps(t.Context(), other) {
		t.Error("what has a name is gone")
	}
	if freed := before - c.size(t); freed < layerSize || done.Freed < layerSize {
		t.Errorf("%d bytes are free, %d were told", freed, done.Freed)
	}
	if s := collector.Stats(); s.Runs != 1 || s.Failures != 0 || s.Removed != 1 || s.Freed != done.Freed || !s.Last.Equal(now) {
		t.Errorf("stats %+v", s)
	}
}

// pin publishes a root that was pushed, as pin add does.
func pin(t *testing.T, c *collected, root cid.Cid) error {
	t.Helper()
	tx, err := c.Begin(t.Context())
	if err != nil {
		return err
	}
	_, err = tx.Commit(t.Context(), ipfs.Root{CID: root, Names: []string{}})
	return err
}

// A store that is over its limit gives up what was not pulled for longest, no more than it
// has to, and says when that is not enough.
func TestCollectLimit(t *testing.T) {
	c := newCollected(t)
	var roots []cid.Cid
	for seed := range byte(5) {
		roots = append(roots, c.push(t, "1", seed))
	}
	c.used[roots[0].KeyString()] = time.Now().Add(time.Hour)
	limit := c.size(t) - layerSize/2
	collector := local.NewCollector(c, local.CollectorOptions{Limit: limit})
	done, err := collector.Collect(t.Context())
	if err != nil || len(done.Removed) != 1 || !done.Removed[0].CID.Equals(roots[1]) || done.Over != 0 || c.size(t) > limit {
		t.Errorf("removed %v, over by %d, %d bytes of %d, %v", done.Removed, done.Over, c.size(t), limit, err)
	}
	collector = local.NewCollector(c, local.CollectorOptions{Limit: 1000})
	if done, err = collector.Collect(t.Context()); err != nil || len(done.Removed) != 3 || done.Over <= 0 || collector.Stats().Over != done.Over {
		t.Errorf("removed %v, over by %d, %v", done.Removed, done.Over, err)
	}
	if !c.Keeps(t.Context(), roots[4]) {
		t.Error("what has a name is gone")
	}
}

// Where what is taken away is not free at once, no other image goes for it.
func TestCollectLimitOfWhatStays(t *testing.T) {
	for name, frees := range map[string][]int64{"nothing": {0, 0}, "a little": {0, 10, 10}} {
		c := newCollected(t)
		for seed := range byte(5) {
			c.push(t, "1", seed)
		}
		c.frees = func() (n int64) {
			if n = frees[0]; len(frees) > 1 {
				frees = frees[1:]
			}
			return n
		}
		collector := local.NewCollector(c, local.CollectorOptions{Limit: c.size(t) - layerSize/2})
		if done, err := collector.Collect(t.Context()); err != nil || len(done.Removed) != 1 || done.Over <= 0 {
			t.Errorf("%s is freed: %d images are gone, over by %d, %v", name, len(done.Removed), done.Over, err)
		}
	}
}

// A name that moves while images are taken away has what it means stay.
func TestCollectAsksWhatIsMeant(t *testing.T) {
	c := newCollected(t)
	root := c.push(t, "1", 1)
	c.push(t, "1", 2)
	asked := 0
	collector := local.NewCollector(c, local.CollectorOptions{Limit: 1, Meant: func() (local.Meant, error) {
		if asked++; asked == 1 {
			return nil, nil
		}
		return local.Meant{root.KeyString(): "k51"}, nil
	}})
	if done, err := collector.Collect(t.Context()); err != nil || len(done.Removed) > 0 || !c.Keeps(t.Context(), root) {
		t.Errorf("removed %v, %v", done.Removed, err)
	}
}

// The cache counts, and goes first.
func TestCollectCache(t *testing.T) {
	c := newCollected(t)
	root, old := c.push(t, "1", 1), c.push(t, "1", 2)
	root, old = old, root
	cache, err := c.Cache(8 << 20)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 1<<19)
	_, _ = rand.NewChaCha8([32]byte{77}).Read(data)
	block, err := cid.NewPrefixV1(cid.Raw, 0x12).Sum(data)
	if err == nil {
		err = cache.Put(t.Context(), block, data)
	}
	if err == nil {
		err = cache.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	collector := local.NewCollector(c, local.CollectorOptions{Limit: c.size(t) + 1000})
	done, err := collector.Collect(t.Context())
	if err != nil || done.Cache < 1<<19 || len(done.Removed) > 0 || done.Over != 0 {
		t.Errorf("%+v, %v", done, err)
	}
	if !c.Keeps(t.Context(), root) || !c.Keeps(t.Context(), old) {
		t.Error("an image is gone, and the cache would have been enough")
	}
}

// Collections come when they are due, and end with the server.
func TestCollectorRuns(t *testing.T) {
	c := newCollected(t)
	ctx, stop := context.WithCancel(t.Context())
	due := make(chan time.Time)
	collector := local.NewCollector(c, local.CollectorOptions{Next: func(after time.Time) time.Time {
		select {
		case at := <-due:
			return at
		case <-ctx.Done():
			return after.Add(time.Hour)
		}
	}})
	ended := make(chan struct{})
	go func() { defer close(ended); collector.Run(ctx) }()
	due <- time.Now()
	due <- time.Now().Add(time.Hour) // asked for after the first has ended
	if s := collector.Stats(); s.Runs != 1 || s.Failures != 0 {
		t.Errorf("stats %+v", s)
	}
	stop()
	<-ended
}
