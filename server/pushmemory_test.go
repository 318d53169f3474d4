package server

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// fill takes all of a share for somebody else.
func fill(t *testing.T, share *budget.Share) {
	t.Helper()
	for _, origin := range []string{"a", "b", "c", "d", "e", "f"} {
		for {
			if _, ok := share.Try(budget.With(t.Context(), &budget.Holder{Origin: origin}), 256<<10); !ok {
				break
			}
		}
	}
}

// large is an image with annotations of n bytes that may refer to another.
func (p *pushSite) large(repository string, n int, subject *ocispec.Descriptor, text string) []byte {
	p.t.Helper()
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: p.blob(repository, []byte("{}")), Layers: []ocispec.Descriptor{}, Subject: subject}
	m.SchemaVersion, m.ArtifactType = 2, "application/x.test"
	m.Annotations = map[string]string{"k": strings.Repeat(text, n)}
	return bytes.ReplaceAll(encoded(p.t, m), []byte(`\u003c`), []byte("<"))
}

// No part of a large manifest that was pushed, or of what refers to one, is read before
// there is room for it.
func TestPushedWaitsForRoom(t *testing.T) {
	p := startPush(t, t.TempDir())
	image := p.image("app", []byte("layer"))
	p.manifest("app", "1", image).expect(t, http.StatusCreated, "")
	subject := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(image), Size: int64(len(image))}
	large := p.large("app", 1<<20, &subject, "x")
	p.manifest("app", "large", large).expect(t, http.StatusCreated, "")
	for path, n := range map[string]int{"manifests/large": len(large), "referrers/" + subject.Digest.String(): 1 << 20} {
		if got := p.get("/v2/app/"+path).expect(t, http.StatusOK, ""); len(got.body) < n {
			t.Errorf("%s: %d bytes", path, len(got.body))
		}
	}
	until(t, "what was held for answers stays so", func() bool { // they are read before they end
		held, _ := p.s.memory.Sending.Held()
		return held == 0
	})
	fill(t, p.s.memory.Sending)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodHead, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	q := &request{Request: r, name: "app", local: p.s.cfg.Pushed.Repository("app")}
	if _, err := p.s.readManifest(q, q.local, digest.FromBytes(image)); err != nil {
		t.Errorf("a small manifest: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	q.Request = r.WithContext(ctx)
	if _, err := p.s.readManifest(q, q.local, digest.FromBytes(large)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a large manifest: %v", err)
	}
	if _, _, err := p.s.referrersPushed(q, subject.Digest, "", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("referrers: %v", err)
	}
}

// Large referrers come page by page, each read when it is asked for.
func TestLargeReferrersInPages(t *testing.T) {
	p := startPush(t, t.TempDir())
	image := p.image("app", []byte("layer"))
	p.manifest("app", "1", image).expect(t, http.StatusCreated, "")
	subject := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(image), Size: int64(len(image))}
	for _, text := range []string{"a", "b", "<"} {
		m := p.large("app", 3<<19, &subject, text)
		p.manifest("app", digest.FromBytes(m).String(), m).expect(t, http.StatusCreated, "")
	}
	next, seen := "/v2/app/referrers/"+subject.Digest.String(), 0
	for pages := 1; next != ""; pages++ {
		got := p.get(next).expect(t, http.StatusOK, "")
		seen += strings.Count(string(got.body), `"digest"`)
		next, _, _ = strings.Cut(strings.TrimPrefix(got.Header.Get("Link"), "<"), ">")
		if len(got.body) > 4<<20 || pages > 4 {
			t.Fatalf("page %d has %d bytes", pages, len(got.body))
		}
	}
	if seen != 3 {
		t.Errorf("%d referrers, want 3", seen)
	}
}

// A pushed manifest that takes many times its length when it is read is refused unread.
func TestHeavyManifest(t *testing.T) {
	p := startPush(t, t.TempDir())
	heavy := `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageManifest + `","layers":[` + strings.Repeat("{},", 1300000) + `{}]}`
	p.send(http.MethodPut, "/v2/app/manifests/1", []byte(heavy), "Content-Type: "+ocispec.MediaTypeImageManifest).
		expect(t, http.StatusBadRequest, codeManifestInvalid, "when it is decoded")
}

// Of what a request about local names reads one waits for nobody but others: while it
// holds as much as it may there is as much again.
func TestPushedMemoryIsNoTrap(t *testing.T) {
	m := pushedMemory{budget.New(budget.Least)}
	var room ipfs.Room = m
	for _, take := range []func(context.Context, int64) (func(), error){room.Reading, room.Decoding} {
		first, err := take(budget.With(t.Context(), &budget.Holder{Origin: "a"}), 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		second, err := take(budget.With(t.Context(), &budget.Holder{Origin: "a"}), 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		first()
		second()
	}
}
