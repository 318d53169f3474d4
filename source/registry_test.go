package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/publish"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
	"github.com/image2ipfs/image2ipfs/registry/remote"
	"github.com/image2ipfs/image2ipfs/server"
)

func newStore(t *testing.T) *packstore.Store {
	t.Helper()
	s, err := packstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// site is a registry that takes pushes, and what it was asked for.
type site struct {
	t      *testing.T
	repo   *remote.Repository
	pushed *pushed.Registry

	mu        sync.Mutex
	blobs     int // that were read
	manifests int // that were read, by their digests
	paths     []string
	fail      func(path string) bool
}

func newSite(t *testing.T) *site {
	t.Helper()
	store := newStore(t)
	s := &site{t: t, pushed: pushed.New(store, pushed.Options{})}
	srv, err := server.New(server.Config{Local: store, Pushed: s.pushed})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			s.mu.Lock()
			s.blobs++
			s.paths = append(s.paths, r.URL.Path)
			s.mu.Unlock()
			if s.fail != nil && s.fail(r.URL.Path) {
				http.Error(w, "no", http.StatusForbidden)
				return
			}
		}
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/sha256:") {
			s.mu.Lock()
			s.manifests++
			s.mu.Unlock()
		}
		srv.PushHandler().ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		web.Close()
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	nobody := func(context.Context, string, string) (auth.Credential, error) { return auth.EmptyCredential, nil }
	if s.repo, err = remote.Open(t.Context(), strings.TrimPrefix(web.URL, "http://"), "team/app", remote.Options{Credentials: nobody}); err != nil {
		t.Fatal(err)
	}
	return s
}

// put pushes a blob.
func (s *site) put(mediaType string, data []byte) ocispec.Descriptor {
	s.t.Helper()
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if _, err := s.repo.PutBlob(s.t.Context(), desc, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }); err != nil {
		s.t.Fatal(err)
	}
	return desc
}

// manifest pushes a manifest or index, by a tag unless that is empty.
func (s *site) manifest(mediaType string, v any, tag string) ocispec.Descriptor {
	s.t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		s.t.Fatal(err)
	}
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if err := s.repo.PutManifest(s.t.Context(), desc, data, tag); err != nil {
		s.t.Fatal(err)
	}
	return desc
}

// image pushes an image for an architecture.
func (s *site) image(architecture, tag string, subject *ocispec.Descriptor) ocispec.Descriptor {
	s.t.Helper()
	config := s.put(ocispec.MediaTypeImageConfig, []byte(`{"architecture":"`+architecture+`","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`))
	l := s.put(ocispec.MediaTypeImageLayerGzip, bytes.Repeat([]byte("layer of "+architecture+tag), 9000))
	return s.manifest(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{l}, Subject: subject,
	}, tag)
}

// whole pushes an image of two platforms with an SBOM of one and signatures of both kinds.
func (s *site) whole() (index, amd, arm ocispec.Descriptor) {
	amd, arm = s.image("amd64", "", nil), s.image("arm64", "", nil)
	amd.Platform, arm.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}, &ocispec.Platform{OS: "linux", Architecture: "arm64"}
	index = s.manifest(ocispec.MediaTypeImageIndex, oci.NewIndex([]ocispec.Descriptor{amd, arm}), "1")
	plain := func(d ocispec.Descriptor) *ocispec.Descriptor {
		return &ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
	}
	sbom := s.image("sbom", "", plain(arm))
	s.image("of-sbom", "", plain(sbom))
	s.image("signature", "sha256-"+index.Digest.Encoded()+".sig", nil)
	return index, amd, arm
}

func (s *site) images(wanted ...ocispec.Platform) *fetched {
	return newFetched("docker://team/app:1", s.repo, ref.Name{Repository: "team/app", Tag: "1"}, wanted)
}

// What comes of a registry is what would have come of a push here: digests, what
// refers to the image, and the root.
func TestRegistryIsAsPushed(t *testing.T) {
	s := newSite(t)
	s.whole()
	pushed, err := s.pushed.Root(t.Context(), "team/app", "1")
	if err != nil {
		t.Fatal(err)
	}
	to := newStore(t)
	var read, total atomic.Int64
	got, err := publish.From(t.Context(), s.images(), to, publish.Options{Total: total.Store, Count: func(n int) { read.Add(int64(n)) }})
	if read.Load() == 0 || read.Load() != total.Load() {
		t.Errorf("%d bytes of %d were told of", read.Load(), total.Load())
	}
	if err != nil || got.Root != pushed.Root {
		t.Fatalf("root %v (%v), pushed it is %s", got, err, pushed.Root)
	}
	if got.Stats.NewBytes <= 0 || len(got.Images) != 1 || got.Images[0].Name != "team/app:1" {
		t.Errorf("%+v", got)
	}
	// What is known by its digest is not fetched, and nothing is left over.
	s.blobs, s.manifests = 0, 0
	again, err := publish.From(t.Context(), s.images(), to, publish.Options{})
	if err != nil || again.Root != got.Root || again.Stats.NewBytes != 0 {
		t.Errorf("again: %+v, %v", again, err)
	}
	if s.blobs+s.manifests > 0 {
		t.Errorf("%d blobs and %d manifests were read again", s.blobs, s.manifests)
	}
	if left, err := to.Records(t.Context(), "fetched", ""); err != nil || len(left) != 0 {
		t.Errorf("records %v, %v", left, err)
	}
	dir, err := publish.FromToDirectory(t.Context(), s.images(), "", publish.Options{})
	if err != nil || dir.Root != got.Root {
		t.Errorf("in a directory: %+v, %v", dir, err)
	}
}

// Only the platforms that are asked for are taken, with what refers to them.
func TestRegistryPlatforms(t *testing.T) {
	s := newSite(t)
	index, amd, arm := s.whole()
	got, err := publish.From(t.Context(), s.images(*arm.Platform), newStore(t), publish.Options{})
	if err != nil || got.Images[0].Manifest.Digest != arm.Digest {
		t.Errorf("one: %+v, %v", got, err)
	}
	both, err := publish.From(t.Context(), s.images(*arm.Platform, *amd.Platform), newStore(t), publish.Options{})
	if err != nil || both.Images[0].Manifest.Digest != index.Digest || len(both.Absent) > 0 {
		t.Errorf("both: %+v, %v", both, err)
	}
	_, err = publish.From(t.Context(), s.images(ocispec.Platform{OS: "linux", Architecture: "s390x"}), newStore(t), publish.Options{})
	if !errors.Is(err, oci.ErrNotFound) || !strings.Contains(err.Error(), "linux/amd64, linux/arm64") {
		t.Errorf("a platform that is not there: %v", err)
	}
}

// What was fetched before a failure is not fetched again.
func TestRegistryGoesOn(t *testing.T) {
	s := newSite(t)
	s.whole()
	to := newStore(t)
	broken := digest.FromBytes(bytes.Repeat([]byte("layer of amd64"), 9000)).String()
	s.fail = func(path string) bool {
		for strings.HasSuffix(path, broken) { // fails when something else has come
			if kept, err := to.Records(t.Context(), "fetched", ""); err != nil || len(kept) > 0 {
				return true
			}
			time.Sleep(10 * time.Millisecond)
		}
		return false
	}
	if _, err := publish.From(t.Context(), s.images(), to, publish.Options{}); !errors.Is(err, remote.ErrUnauthorized) {
		t.Fatalf("a blob that may not be read: %v", err)
	}
	if roots, err := to.Roots(t.Context()); err != nil || len(roots) != 0 {
		t.Errorf("roots %v, %v", roots, err)
	}
	kept, err := to.Records(t.Context(), "fetched", "")
	if err != nil || len(kept) == 0 {
		t.Fatalf("nothing was kept: %v", err)
	}
	s.fail, s.paths = nil, nil
	if _, err := publish.From(t.Context(), s.images(), to, publish.Options{}); err != nil {
		t.Fatal(err)
	}
	fetched := map[string]int{}
	for _, path := range s.paths {
		fetched[path[strings.LastIndex(path, "/")+1:]]++
	}
	for _, record := range kept {
		if fetched[record.Name] > 0 {
			t.Errorf("%s was fetched again", record.Name)
		}
	}
	if fetched[broken] == 0 {
		t.Error("what failed was not fetched")
	}
}
