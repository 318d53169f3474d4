//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/local"
	"github.com/image2ipfs/image2ipfs/test/process"
	"github.com/image2ipfs/image2ipfs/test/program"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// manyImages is how many a store has under retention: $RETENTION_IMAGES, 60 by default.
func manyImages(t *testing.T) int {
	t.Helper()
	text := os.Getenv("RETENTION_IMAGES")
	if text == "" {
		return 60
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 40 {
		t.Fatalf("RETENTION_IMAGES is %q, expected a number from 40 on", text)
	}
	return n
}

// retained is an image of the test, and why it stays; "" for one that goes.
type retained struct {
	root     cid.Cid
	manifest digest.Digest
	stays    string
}

func (r retained) ciq() string { return ref.Ciq(r.root) }

// retention is a store with many images, a server on it, and clients of that.
type retention struct {
	*reloader
	store  *packstore.Store
	push   string // address
	images []retained
	all    sync.WaitGroup

	mu     sync.Mutex
	pulls  int
	pushes int
}

const ownLayer, sharedLayer = 20 << 10, 60 << 10

// startRetention publishes images app:pr-0 and so on, one in each hour until now. Those of
// the last quarter are young, each tenth is prod:N as well, and of one a name is that moves.
func startRetention(t *testing.T, n int) *retention {
	t.Helper()
	push, err := process.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	r := &retention{reloader: startReloader(t, "--push", push, "--keep-history", "2", "--access-log=false"), push: push}
	if r.store, err = openStore(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.store.Close() })
	shared := noise(sharedLayer)
	for i := range n {
		r.publish(i, n, shared)
	}
	moving := &r.images[3]
	moving.stays = "the name"
	r.run("name", "create", "moving")
	r.run("name", "publish", "moving", moving.ciq())
	return r
}

func (r *retention) publish(i, n int, shared []byte) {
	r.Helper()
	tx, err := r.store.Begin(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	own := make([]byte, ownLayer)
	_, _ = rand.NewChaCha8([32]byte{byte(i), byte(i >> 8), 9}).Read(own)
	layout := testlayout.New(r.T, tx)
	image := layout.Image("amd64", shared, own)
	image.Annotations = map[string]string{ocispec.AnnotationRefName: "latest"}
	one := retained{manifest: image.Digest}
	name := fmt.Sprintf("app:pr-%d", i)
	switch {
	case i >= n-n/4:
		one.stays = "not that old"
	case i%10 == 0:
		one.stays = "prod:"
	}
	one.root = layout.Publish(image)
	at := time.Now().Add(-time.Duration(n-i)*time.Hour + 30*time.Minute)
	if _, err := tx.Commit(r.Context(), ipfs.Root{CID: one.root, Names: []string{name}, Published: at}); err != nil {
		r.Fatal(err)
	}
	if one.stays == "prod:" {
		r.run("tag", name, one.ciq())
		r.run("tag", fmt.Sprintf("prod:%d", i), one.ciq())
	}
	r.images = append(r.images, one)
}

// run runs a command on the store and gives what it prints; it must succeed.
func (r *retention) run(args ...string) (out, errs string) {
	r.Helper()
	var o, e bytes.Buffer
	cmd := newRoot(&o, &e)
	cmd.SetArgs(args)
	if err := cmd.ExecuteContext(r.Context()); err != nil {
		r.Fatalf("%v: %v: %s", args, err, e.String())
	}
	return o.String(), e.String()
}

// clients pull what stays, again and again, and push by one tag, until end.
func (r *retention) clients() (end func()) {
	ctx, stop := context.WithCancel(r.Context())
	var staying []retained
	for _, one := range r.images {
		if one.stays != "" {
			staying = append(staying, one)
		}
	}
	client := &http.Client{Timeout: time.Minute}
	fail := func(err error) {
		if ctx.Err() == nil {
			r.Error(err)
			stop()
		}
	}
	for seed := range 2 {
		r.all.Go(func() {
			for i := seed; ctx.Err() == nil; i++ {
				one := staying[i*7%len(staying)]
				_, err := program.Pull(r.url, one.ciq()+"/app", one.manifest, func(url string, want digest.Digest) ([]byte, error) {
					return program.Get(ctx, client, url, want)
				})
				if err != nil {
					fail(err)
				}
				r.mu.Lock()
				r.pulls++
				r.mu.Unlock()
			}
		})
	}
	r.all.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if err := pushOnce(ctx, client, r.push, "night", "1", fmt.Sprintf("night %d", i)); err != nil {
				fail(err)
				continue
			}
			r.mu.Lock()
			r.pushes++
			r.mu.Unlock()
		}
	})
	return func() { stop(); r.all.Wait() }
}

// pushOnce pushes an image with a layer of a text.
func pushOnce(ctx context.Context, client *http.Client, host, repository, tag, text string) (err error) {
	base := "http://" + host + "/v2/" + repository
	send := func(method, url, mediaType string, data []byte) (http.Header, error) {
		req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", mediaType)
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(resp.Body)
		err = errors.Join(err, resp.Body.Close())
		if err == nil && resp.StatusCode >= 300 {
			err = fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, body)
		}
		return resp.Header, err
	}
	blob := func(mediaType string, data []byte) (ocispec.Descriptor, error) {
		d := digest.FromBytes(data)
		at, err := send(http.MethodPost, base+"/blobs/uploads/", "", nil)
		if err == nil {
			_, err = send(http.MethodPut, "http://"+host+at.Get("Location")+"?digest="+d.String(), "application/octet-stream", data)
		}
		return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}, err
	}
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest}
	m.SchemaVersion = 2
	if m.Config, err = blob(ocispec.MediaTypeImageConfig, []byte(`{"architecture":"amd64","os":"linux"}`)); err != nil {
		return err
	}
	l, err := blob(ocispec.MediaTypeImageLayer, []byte(strings.Repeat(text+" ", 1000)))
	if err != nil {
		return err
	}
	m.Layers = []ocispec.Descriptor{l}
	_, err = send(http.MethodPut, base+"/manifests/"+tag, m.MediaType, marshal(m))
	return err
}

// goes lists the roots that a rm --json tells of, and how many bytes they free.
func goes(t *testing.T, out string) (ciqs []string, frees int64) {
	t.Helper()
	for line := range strings.Lines(out) {
		var one removed
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatal(err)
		}
		ciqs = append(ciqs, one.Root.Ciq)
		frees += one.Frees
	}
	slices.Sort(ciqs)
	return ciqs, frees
}

// A store of many images under retention, which a dry run foretells, while pushes and pulls
// go on: what goes is what the rules say, never what is named, pinned, young or meant by a
// name that moves, and gc frees as much as was said.
func TestRetentionOfMany(t *testing.T) {
	n := manyImages(t)
	r := startRetention(t, n)
	var want []string
	for _, one := range r.images {
		if one.stays == "" {
			want = append(want, one.ciq())
		}
	}
	slices.Sort(want)
	end := r.clients()
	defer end()
	r.checkUsage()
	r.run("gc") // of what was pushed until now
	rules := []string{"rm", "--match", "app:pr-*", "--older", fmt.Sprintf("%dh", n/4), "--json"}
	before, _ := r.run("ls", "-q")
	out, _ := r.run(append(rules, "--dry-run")...)
	foretold, frees := goes(t, out)
	if !slices.Equal(foretold, want) {
		t.Fatalf("%d would go, want %d of %d", len(foretold), len(want), n)
	}
	if least := int64(len(want) * ownLayer); frees < least || frees > least+int64(len(want))*8<<10 {
		t.Errorf("%d bytes would be freed of %d images with %d bytes of their own each", frees, len(want), ownLayer)
	}
	after, _ := r.run("ls", "-q")
	for line := range strings.Lines(before) { // pushes may have come
		if strings.Contains(line, "ciq") && slices.Contains(want, strings.TrimSpace(line)) && !strings.Contains(after, line) {
			t.Errorf("the dry run has taken %s", line)
		}
	}
	_, told := r.run("rm", "--match", "app:pr-*", "--older", fmt.Sprintf("%dh", n/4), "--dry-run")
	for _, why := range []string{"not that old", "prod:", "the name"} {
		if !strings.Contains(told, why) {
			t.Errorf("nobody is told that what is %q stays: %s", why, told)
		}
	}
	if out, _ = r.run(rules...); !slices.Equal(first(goes(t, out)), want) {
		t.Errorf("gone are %d", len(first(goes(t, out))))
	}
	text, _ := r.run("gc", "--json")
	var freed packstore.GCStats
	if err := json.Unmarshal([]byte(text), &freed); err != nil || freed.RemovedBytes < frees*9/10 {
		t.Errorf("gc removed %d bytes, %d were foretold, %v", freed.RemovedBytes, frees, err)
	}
	r.mu.Lock()
	pulls, pushes := r.pulls, r.pushes
	r.mu.Unlock()
	if pulls == 0 || pushes == 0 {
		t.Errorf("meanwhile there were %d pulls and %d pushes", pulls, pushes)
	}
	end()
	r.remains(want)
}

func first[A, B any](a A, _ B) A { return a }

// remains fails unless all that stays is whole, and what went is found no more.
func (r *retention) remains(gone []string) {
	r.Helper()
	r.run("verify", "--all", "-q")
	kept, _ := r.run("ls", "-q")
	for _, one := range r.images {
		if here := strings.Contains(kept, one.ciq()); here == slices.Contains(gone, one.ciq()) {
			r.Errorf("%s, which stays as it is %q, is there: %t", one.ciq(), one.stays, here)
		}
	}
	// The last push may have ended on the server and not for its client, who was stopped.
	last, _ := r.run("ref", "-f", "ciq", "night:1")
	if !strings.Contains(kept, strings.TrimSpace(last)) {
		r.Errorf("what the tag that was pushed is, %s, is gone", last)
	}
}

// checkUsage fails unless du tells of each image what it has alone, and what it shares.
func (r *retention) checkUsage() {
	r.Helper()
	text, _ := r.run("du", "--json")
	var told diskUsage
	if err := json.Unmarshal([]byte(text), &told); err != nil {
		r.Fatal(err)
	}
	var alone int64
	for _, one := range told.Images {
		alone += one.Alone
		if one.Bytes != one.Alone+one.Shared {
			r.Errorf("%v has %d bytes, %d alone and %d shared", one.Names, one.Bytes, one.Alone, one.Shared)
		}
		if slices.ContainsFunc(r.images, func(i retained) bool { return i.ciq() == one.Root.Ciq }) &&
			(one.Alone < ownLayer || one.Alone > ownLayer+8<<10 || one.Shared < sharedLayer || one.Shared > sharedLayer+8<<10) {
			r.Errorf("%v has %d bytes alone and %d shared, of %d and %d", one.Names, one.Alone, one.Shared, ownLayer, sharedLayer)
		}
	}
	if shared := told.Bytes - alone; shared < sharedLayer || shared > told.Bytes {
		r.Errorf("%d bytes in all, %d of single images", told.Bytes, alone)
	}
}

// serve --gc on its schedule, with an age and a limit on the size, takes what was pushed and
// has no name any more, and the cache, and nothing else.
func TestScheduledRetention(t *testing.T) {
	r := startRetention(t, 40)
	end := r.clients()
	defer end()
	waitFor(t, "pushes", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.pushes >= 8 })
	cache, err := r.store.Cache(1 << 30)
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	blocks := testlayout.NewBlocks()
	layout := testlayout.New(t, blocks)
	layout.Publish(layout.Image("amd64", noise(1<<20)))
	if err := blocks.PutInto(t.Context(), cache); err != nil {
		t.Fatal(err)
	}
	spared := func() int { // of night, that no name is
		out, _ := r.run("ls", "--json")
		return strings.Count(out, `"night:1"`)
	}
	if spared() < 2 {
		t.Errorf("%d images were night:1", spared())
	}
	o := gcServeOptions{when: gcSchedule{local.Schedule{Every: 20 * time.Millisecond}}, unused: gcAge{age(time.Millisecond)}, limit: 1}
	told, stop := o.collect(t.Context(), r.store, slog.New(slog.DiscardHandler))
	waitFor(t, "collections", func() bool { s := told(); return s.Runs-s.Failures >= 3 && s.Removed > 0 })
	end()
	runs := told().Runs
	waitFor(t, "the last", func() bool { s := told(); return s.Runs >= runs+2 && spared() == 1 })
	s := told()
	stop()
	if size, err := r.store.CacheSize(); err != nil || size > 1 {
		t.Errorf("the cache has %d bytes, %v", size, err)
	}
	if s.Over == 0 || s.Failures > 0 || s.Last.IsZero() {
		t.Errorf("told is %+v: the store is larger than a byte", s)
	}
	r.remains(nil)
}

// waitFor waits for something to be so.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for begin := time.Now(); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 2*time.Minute {
			t.Fatalf("%s: it does not happen", what)
		}
	}
}
