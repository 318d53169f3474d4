package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// A blob has a limit, whether its length is told or not, and what was refused is no
// part of it.
func TestBlobLimit(t *testing.T) {
	p := startPush(t, t.TempDir())
	p.s.cfg.Limits.Blob = 1000
	at := p.begin("app")
	p.send(http.MethodPatch, at, big(600)).expect(t, http.StatusAccepted, "")
	p.send(http.MethodPatch, at, big(401)).expect(t, http.StatusRequestEntityTooLarge, codeSizeInvalid, "limit of 1000")
	r, err := http.NewRequest(http.MethodPatch, p.url+at, io.MultiReader(bytes.NewReader(big(401)))) // chunked
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a chunked body: %s", resp.Status)
	}
	p.send(http.MethodPatch, at, big(400)).expect(t, http.StatusAccepted, "")
	whole := append(big(600), big(400)...)
	p.send(http.MethodPut, at+"?digest="+digest.FromBytes(whole).String(), nil).expect(t, http.StatusCreated, "")
	p.send(http.MethodPost, "/v2/app/blobs/uploads/?digest="+digest.FromString("x").String(), big(1001)).expect(t, http.StatusRequestEntityTooLarge, codeSizeInvalid)
}

// Who sends requests without end is told to wait, and keeps nobody else from pushing,
// neither by their number nor by the memory that his uploads take.
func TestPushRates(t *testing.T) {
	p := startPush(t, t.TempDir())
	p.s.cfg.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	const greedy, honest = "X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2"
	p.s.uploads.writes = budget.NewRates(time.Hour, 1)
	p.s.uploads.writes.Try("192.0.2.1")
	got := p.send(http.MethodPost, "/v2/app/blobs/uploads/", nil, greedy).expect(t, http.StatusTooManyRequests, codeTooMany, "requests that write")
	if after, err := strconv.Atoi(got.Header.Get("Retry-After")); err != nil || after > 3600 || after < 3500 { // of an hour that has begun
		t.Errorf("Retry-After %q", got.Header.Get("Retry-After"))
	}
	p.get("/v2/_catalog", greedy).expect(t, http.StatusOK, "")
	p.send(http.MethodPost, "/v2/app/blobs/uploads/", nil, honest).expect(t, http.StatusAccepted, "")

	for _, share := range []*budget.Share{p.s.memory.Writing, p.s.memory.Begun} {
		for {
			if _, ok := share.Try(budget.With(t.Context(), &budget.Holder{Origin: "192.0.2.1"}), writeCost/5); !ok {
				break
			}
		}
	}
	p.s.uploads.writes = budget.NewRates(time.Millisecond, 10)
	d := digest.FromString("blob")
	p.send(http.MethodPost, "/v2/app/blobs/uploads/?digest="+d.String(), []byte("blob"), honest).expect(t, http.StatusCreated, "")
}

// All clients together have so many uploads, too.
func TestUploadsInAll(t *testing.T) {
	p := startPush(t, t.TempDir())
	u := p.s.uploads
	var all []*upload
	begin := func(ctx context.Context) *pushed.Upload { return p.s.cfg.Pushed.Begin(ctx, "app", digest.SHA256) }
	for i := range maxUploads {
		up, err := u.begin(begin, "app", fmt.Sprint(i%100))
		if err != nil {
			t.Fatalf("upload %d: %v", i, err)
		}
		all = append(all, up)
	}
	p.send(http.MethodPost, "/v2/app/blobs/uploads/", nil).expect(t, http.StatusTooManyRequests, codeTooMany, "1024 uploads are open")
	for _, up := range all {
		u.end(up)
	}
	p.begin("app")
	if len(u.each) != 1 {
		t.Errorf("%d origins are counted", len(u.each))
	}
}

// An upload waits for memory no longer than its client may want to, and is told so.
func TestUploadPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUploads(newLifetime(slog.New(slog.DiscardHandler)), budget.New(budget.Least))
		for _, origin := range []string{"a", "b", "c", "d", "e"} {
			for {
				if _, ok := u.memory.Writing.Try(budget.With(t.Context(), &budget.Holder{Origin: origin}), 1<<20); !ok {
					break
				}
			}
		}
		up := &upload{origin: "a"}
		begin := time.Now()
		var e *apiError
		if _, err := u.hold(budget.With(t.Context(), &budget.Holder{Origin: up.origin}), up); !errors.As(err, &e) || e.code != codeTooMany || !errors.Is(err, budget.ErrFull) || time.Since(begin) != uploadPatience {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
	})
}

// One client must not take all uploads, and one that is forgotten ends.
func TestUploadLimits(t *testing.T) {
	p := startPush(t, t.TempDir())
	at := p.begin("app")
	p.send(http.MethodPatch, at, []byte("some")).expect(t, http.StatusAccepted, "")
	for range uploadsEach - 1 {
		p.begin("app")
	}
	full := p.send(http.MethodPost, "/v2/app/blobs/uploads/", nil).expect(t, http.StatusTooManyRequests, codeTooMany, "64")
	if full.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	p.s.uploads.expire(p.s.uploads.open[at[strings.LastIndexByte(at, '/')+1:]])
	p.get(at).expect(t, http.StatusNotFound, codeUploadUnknown)
	p.begin("app")
}

// Garbage is collected while an upload waits for its next chunk, also what the upload
// has in common with an image that is gone.
func TestUploadBesideGC(t *testing.T) {
	dir := t.TempDir()
	p := startPush(t, dir)
	layer := big(5 << 20)
	p.manifest("app", "1", p.image("app", layer[:3<<20])).expect(t, http.StatusCreated, "")
	roots, err := p.store.Roots(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const half = 4 << 20
	at := p.begin("app")
	p.send(http.MethodPatch, at, layer[:half]).expect(t, http.StatusAccepted, "")
	p.do(http.MethodDelete, "/v2/app/manifests/1").expect(t, http.StatusAccepted, "")
	if err := p.s.cfg.Pushed.Remove(t.Context(), roots[0].CID); err != nil {
		t.Fatal(err)
	}
	if _, err := p.store.GC(t.Context(), packstore.GCOptions{}); err != nil {
		t.Fatal(err)
	}
	p.blob("app", []byte("another meanwhile"))
	d := digest.FromBytes(layer).String()
	p.send(http.MethodPut, at+"?digest="+d, layer[half:]).expect(t, http.StatusCreated, "")
	for range 2 {
		if got := p.get("/v2/app/blobs/"+d).expect(t, http.StatusOK, ""); !bytes.Equal(got.body, layer) {
			t.Errorf("%d bytes come", len(got.body))
		}
		if _, err := p.store.GC(t.Context(), packstore.GCOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}
