package server

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
	"github.com/image2ipfs/image2ipfs/test/testsign"
)

// stuckStore is a store that does not give the leaves of large files that begin with "stuck"
// before the question ends.
type stuckStore struct {
	*testlayout.Blocks
	asking, leaves atomic.Int32
}

func (s *stuckStore) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	data, err := s.Blocks.Get(ctx, c)
	if len(data) > 64<<10 {
		s.leaves.Add(1)
	}
	if bytes.HasPrefix(data, []byte("stuck")) {
		s.asking.Add(1)
		defer s.asking.Add(-1)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return data, err
}

// large is a blob that is more than small, and of which each has other bytes.
func large(text string) []byte { return append([]byte(text), big(smallHashed)...) }

// Whoever has large blobs compared with what is signed holds up nobody's small ones, nor
// the large ones of others, and what nobody waits for any more is read no further.
func TestLargeBlobsHoldUpNobody(t *testing.T) {
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	store := &stuckStore{Blocks: testlayout.NewBlocks()}
	l := testlayout.New(t, store)
	layers := [][]byte{[]byte("small"), large("fine")}
	const many = 2 * maxHashing
	for i := range many {
		layers = append(layers, large("stuck "+string(rune('a'+i))))
	}
	image := oci.Named(l.Image("amd64", layers...), "docker.io/library/app:1")
	root := l.Publish(image, testsign.Tagged(l, by, image.Digest, image.Digest))
	s := start(t, Config{Local: store, Signed: testsign.Policy(t, by), Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	s.s.signatures.hashes.hashing.linger = 10 * time.Millisecond
	at := "/v2/" + ref.Ciq(root) + "/app/blobs/"
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	for _, layer := range layers[2:] {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+at+digest.FromBytes(layer).String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Range", "bytes=0-0")
		go func() {
			if res, err := client.Do(r); err == nil {
				res.Body.Close()
			}
		}()
	}
	until(t, "blobs are being read", func() bool { return store.asking.Load() >= maxHashing-1 })
	s.get(at+digest.FromString("small").String()).expect(t, http.StatusOK, "")
	s.get("/ipfs/"+root.String()+"/blobs/sha256/"+image.Digest.Encoded()).expect(t, http.StatusOK, "")
	s.get(at+digest.FromBytes(layers[1]).String(), "X-Forwarded-For: 203.0.113.7").expect(t, http.StatusOK, "")
	if n := store.asking.Load(); n >= maxHashing {
		t.Errorf("%d blobs are read for one client", n)
	}
	leave()
	until(t, "nothing is read for nobody", func() bool { return store.asking.Load() == 0 })
}

// Work that somebody waits for goes on; for nobody it does so for a while, in which it
// can be joined again, and those who wait for what it holds see it stand still.
func TestFlightEndsWhenNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		life := newLifetime(nil)
		defer life.end()
		f := newFlights[string, int](life, time.Hour)
		f.linger = 5 * time.Second
		began := 0
		var ended error
		join := func(ctx context.Context) error {
			_, err := f.join(ctx, "it", func(ctx context.Context) (int, error) {
				began++
				<-ctx.Done()
				ended = context.Cause(ctx)
				return 0, ended
			}).wait(ctx)
			return err
		}
		for range 3 { // each while the last is remembered
			ctx, leave := context.WithTimeout(t.Context(), time.Minute)
			if err := join(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			leave()
			time.Sleep(4 * time.Second)
		}
		synctest.Wait()
		run := f.running["it"]
		if began != 1 || ended != nil || time.Since(f.moved(run, time.Now())) != 4*time.Second {
			t.Errorf("begun %d times, ended %v, moved %v", began, ended, f.moved(run, time.Now()))
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !errors.Is(ended, context.Canceled) || len(f.running) != 0 {
			t.Errorf("ended %v, running %d", ended, len(f.running))
		}
	})
}

// What has other bytes is read once, however often it is asked for.
func TestRefusalIsRemembered(t *testing.T) {
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	store := &stuckStore{Blocks: testlayout.NewBlocks()}
	l := testlayout.New(t, store)
	image := oci.Named(l.Image("amd64", []byte("good")), "docker.io/library/app:1")
	l.Lie(digest.FromString("good"), large("evil"))
	root := l.Publish(image, testsign.Tagged(l, by, image.Digest, image.Digest))
	s := start(t, Config{Local: store, Signed: testsign.Policy(t, by)})
	at := "/v2/" + ref.Ciq(root) + "/app/blobs/" + digest.FromString("good").String()
	s.get(at).expect(t, http.StatusForbidden, codeDenied, "other bytes")
	read := store.leaves.Load()
	s.get(at).expect(t, http.StatusForbidden, codeDenied, "other bytes")
	if again := store.leaves.Load() - read; read == 0 || again != 0 {
		t.Errorf("%d blocks are read, and %d when asked again", read, again)
	}
}

// What lies below a directory, or a link, that is called as a signed blob is signed by
// nobody; nor does any other path lead to more than the parts of a layout.
func TestSignedDirectory(t *testing.T) {
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	for _, what := range []string{"directory", "another codec"} {
		blocks := testlayout.NewBlocks()
		l := testlayout.New(t, blocks)
		image := oci.Named(l.Image("amd64", []byte("good"), []byte("fine")), "docker.io/library/app:1")
		evil, err := ipfs.AddFile(t.Context(), blocks, strings.NewReader("evil"))
		if err != nil {
			t.Fatal(err)
		}
		good := digest.FromString("good")
		instead := testlayout.Dir(t, blocks, map[string]cid.Cid{"evil": evil.CID, "inner": testlayout.Dir(t, blocks, map[string]cid.Cid{"evil": evil.CID})})
		if what == "another codec" {
			data, err := blocks.Get(t.Context(), instead)
			if err != nil {
				t.Fatal(err)
			}
			instead = cid.NewCidV1(cid.DagCBOR, instead.Hash())
			if err := blocks.Put(t.Context(), instead, data); err != nil {
				t.Fatal(err)
			}
		}
		l.Instead = map[digest.Digest]cid.Cid{good: instead}
		root := l.Publish(image, testsign.Tagged(l, by, image.Digest, image.Digest))
		s := start(t, Config{Local: blocks, Signed: testsign.Policy(t, by)})
		for range 2 {
			for _, path := range []string{"", "/evil", "/evil?format=raw", "/inner?format=car", "/inner/evil", "?format=raw", "?format=car"} {
				s.refused("/ipfs/"+root.String()+"/blobs/sha256/"+good.Encoded()+path, "")
			}
			s.refused("/ipfs/"+root.String()+"?format=car", "no file")
			s.both("/v2/"+ref.Ciq(root)+"/app/manifests/1").expect(t, http.StatusOK, "")
			s.get("/v2/"+ref.Ciq(root)+"/app/blobs/"+good.String()).expect(t, http.StatusForbidden, codeDenied, "no file")
			s.get("/v2/"+ref.Ciq(root)+"/app/blobs/"+digest.FromString("fine").String()).expect(t, http.StatusOK, "")
		}
	}
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	image := oci.Named(l.Image("amd64", []byte("good")), "docker.io/library/app:1")
	root := l.Publish(image, testsign.Tagged(l, by, image.Digest, image.Digest))
	s := start(t, Config{Local: blocks, Signed: testsign.Policy(t, by)})
	at := "/ipfs/" + root.String() + "/"
	for _, path := range []string{"", ocispec.ImageLayoutFile, ocispec.ImageIndexFile, "blobs/", "blobs/sha256/", "blobs//sha256/" + image.Digest.Encoded()} {
		for _, form := range []string{"", "?format=raw", "?format=car"} {
			s.get(at+path+form).expect(t, http.StatusOK, "")
		}
	}
	for _, path := range []string{"extra", "index.json/x", "blobs/sha256/x", "blobs/sha256/" + image.Digest.Encoded() + "/x"} {
		s.refused(at+path, "no part of an image layout")
	}
}
