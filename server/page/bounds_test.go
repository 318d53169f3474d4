package page

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// pageOfRoots is a page about roots of some blocks.
func pageOfRoots(blocks ipfs.Getter, roots ...cid.Cid) *Page {
	return New(Config{Local: blocks, Kept: func(context.Context) (kept []ipfs.Root, err error) {
		for _, root := range roots {
			kept = append(kept, ipfs.Root{CID: root, Names: []string{"app:1"}})
		}
		return kept, nil
	}}, &Traffic{}, &Pushes{})
}

// ask asks a page for a document.
func ask(ctx context.Context, p *Page, query string) (*httptest.ResponseRecorder, error) {
	w := httptest.NewRecorder()
	return w, p.Serve(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/"+query, nil), Asker{Host: "localhost:5000"})
}

var nextPage = regexp.MustCompile(`<a href="/([^"]*)" rel="next"`)

// documents follows a document's pages to the last, and gives the text of all. None may be
// large.
func documents(t *testing.T, p *Page, query string) (all string, n int) {
	t.Helper()
	for query != "" {
		w, err := ask(t.Context(), p, query)
		if err != nil {
			t.Fatal(err)
		}
		if n++; w.Body.Len() > 1<<20 {
			t.Fatalf("document %d has %d bytes", n, w.Body.Len())
		}
		all += w.Body.String()
		next := nextPage.FindStringSubmatch(w.Body.String())
		if query = ""; next != nil {
			query = strings.ReplaceAll(next[1], "&amp;", "&")
		}
	}
	return all, n
}

// However much is in a root, no document about it is large, and all of it stands on one of
// its pages.
func TestDocumentsAreBounded(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	var many, names []string
	var layers [][]byte
	for n := range 250 {
		layers = append(layers, fmt.Appendf(nil, "layer %d", n))
	}
	wide := l.Image("amd64", layers...)
	var top []ocispec.Descriptor
	for n := range 1500 {
		names = append(names, fmt.Sprintf("team/app:tag-%d", n))
		top = append(top, oci.Named(wide, names[n]))
	}
	for n := range 150 {
		many = append(many, fmt.Sprintf("other%d/app:1", n))
		top = append(top, oci.Named(l.Image("amd64", []byte(many[n])), many[n]))
	}
	long := oci.Named(l.Image("amd64", []byte("long")), strings.Repeat("long", 1<<18))
	root := l.Publish(append(top, long)...)
	p := pageOfRoots(blocks, root)
	all, n := documents(t, p, "?root="+ref.Ciq(root))
	if n < 20 {
		t.Errorf("%d documents", n)
	}
	words := map[string]int{}
	for _, word := range strings.FieldsFunc(all, func(r rune) bool { return strings.ContainsRune(`<>"`, r) }) {
		words[word]++
	}
	for _, name := range append(names, many...) {
		if words[name] != 1 || words["docker pull localhost:5000/"+ref.Ciq(root)+"/"+name] != 2 { // as text, and to be copied
			t.Fatalf("%s is there %d times, with a line that pulls it %d times", name, words[name], words["docker pull localhost:5000/"+ref.Ciq(root)+"/"+name])
		}
	}
	for _, layer := range layers {
		if n := words["Files of layer "+digest.FromBytes(layer).String()]; n != 1 {
			t.Fatalf("the layer %s is linked %d times", layer, n)
		}
	}
	if held, _ := p.cfg.Memory.Sending.Held(); held != 0 {
		t.Errorf("%d bytes are held after all was sent", held)
	}
	if w, err := ask(t.Context(), p, "?root="+ref.Ciq(root)+"&page=100000"); err != nil || !strings.Contains(w.Body.String(), fmt.Sprintf("Page %d of %d", n, n)) {
		t.Errorf("a page behind the last: %v", err)
	}
}

// slow is a client that takes one write, and waits.
type slow struct {
	http.ResponseWriter
	wrote, goes chan struct{}
	once        sync.Once
}

func (s *slow) Write(text []byte) (int, error) {
	s.once.Do(func() {
		close(s.wrote)
		<-s.goes
	})
	return s.ResponseWriter.Write(text)
}

// A document is held of the budget as long as its reader takes, and where there is no room
// for one it is not made.
func TestDocumentIsHeld(t *testing.T) {
	p := pageOfRoots(testlayout.NewBlocks())
	w := &slow{ResponseWriter: httptest.NewRecorder(), wrote: make(chan struct{}), goes: make(chan struct{})}
	done := make(chan error, 1)
	go func() { done <- p.Serve(w, httptest.NewRequest(http.MethodGet, "/", nil), Asker{}) }()
	<-w.wrote
	sending := p.cfg.Memory.Sending
	if held, _ := sending.Held(); held < sheetSize {
		t.Errorf("%d bytes are held while somebody reads", held)
	}
	close(w.goes)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if held, _ := sending.Held(); held != 0 {
		t.Errorf("%d bytes are held afterwards", held)
	}
	for _, origin := range []string{"one", "other"} {
		held, _ := sending.Held()
		if _, ok := sending.Try(budget.With(t.Context(), &budget.Holder{Origin: origin}), sending.Size()-held); !ok {
			t.Fatal("the memory cannot be taken")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := ask(ctx, p, ""); !errors.Is(err, budget.ErrFull) {
		t.Errorf("without memory: %v", err)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if err := document.Execute(&paper{ctx: gone, memory: sending}, &view{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a document for who has gone: %v", err)
	}
}

// What many ask for at the same time is done once; when the first of them gives up, by the
// next.
func TestTogether(t *testing.T) {
	for _, fails := range []error{nil, oci.ErrCorrupt, context.Canceled, budget.ErrFull} {
		synctest.Test(t, func(t *testing.T) {
			var all together[string, int]
			var asked atomic.Int32
			var wg sync.WaitGroup
			for range 12 {
				wg.Go(func() {
					got, err := all.do(t.Context(), "key", func() (int, error) {
						time.Sleep(time.Second)
						if asked.Add(1) == 1 {
							return 7, fails
						}
						return 7, nil
					})
					if err == nil && got != 7 || err != nil && !errors.Is(err, fails) {
						t.Errorf("%v: got %d, %v", fails, got, err)
					}
				})
			}
			wg.Wait()
			want := int32(1)
			if fails != nil && !settled(fails) {
				want = 2
			}
			if asked.Load() != want {
				t.Errorf("%v: done %d times, want %d", fails, asked.Load(), want)
			}
			late, cancel := context.WithCancel(t.Context())
			go func() {
				_, _ = all.do(t.Context(), "key", func() (int, error) { time.Sleep(time.Hour); return 0, nil })
			}()
			synctest.Wait()
			cancel()
			if _, err := all.do(late, "key", nil); !errors.Is(err, context.Canceled) {
				t.Errorf("who has gone: %v", err)
			}
			time.Sleep(time.Hour)
		})
	}
}

// atOnce gives blocks when so many have asked for the first.
type atOnce struct {
	ipfs.Getter
	wait *sync.WaitGroup
	gets atomic.Int32
}

func (a *atOnce) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if a.gets.Add(1) <= 12 {
		a.wait.Done()
		a.wait.Wait()
	}
	return a.Getter.Get(ctx, c)
}

// Twelve who look at an image at the same time have it read once.
func TestImageIsReadOnce(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	root := l.Publish(l.Image("amd64", []byte("layer")))
	alone := &atOnce{Getter: blocks, wait: &sync.WaitGroup{}}
	alone.gets.Store(12)
	if _, err := pageOfRoots(alone, root).inspect(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	many := &atOnce{Getter: blocks, wait: &sync.WaitGroup{}}
	many.wait.Add(12)
	p := pageOfRoots(many, root)
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			if i, err := p.inspect(t.Context(), root); err != nil || len(i.images) != 1 {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got, want := many.gets.Load(), alone.gets.Load()-12+11; got != want { // each asks whether the root is here
		t.Errorf("%d blocks were read for twelve, want %d", got, want)
	}
}

// An image that cannot be read at the moment is not shown as a broken one, and one that is
// broken tells no path of this machine.
func TestBusyIsNotBroken(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	root := l.Publish(l.Image("amd64", []byte("layer")))
	for _, row := range []struct {
		err    error
		broken bool
	}{
		{context.DeadlineExceeded, false}, {ipfs.ErrUnavailable, false}, {budget.ErrFull, false}, {errors.New("disk I/O error"), false},
		{fmt.Errorf("pack /secret/store/1: %w", oci.ErrCorrupt), true}, {fmt.Errorf("/secret/store: %w", oci.ErrNotFound), true},
	} {
		p := pageOfRoots(failing{blocks, root, row.err}, root)
		p.cfg.Say = func(text string) string { return strings.ReplaceAll(text, "/secret/store", "the store") }
		w, err := ask(t.Context(), p, "?root="+ref.Ciq(root))
		if row.broken && (err != nil || !bytes.Contains(w.Body.Bytes(), []byte("cannot be read as a whole")) || bytes.Contains(w.Body.Bytes(), []byte("secret"))) {
			t.Errorf("%v: %v, %s", row.err, err, w.Body)
		}
		if !row.broken && !errors.Is(err, row.err) {
			t.Errorf("%v: got %v", row.err, err)
		}
	}
}

// failing is a store that has but one block.
type failing struct {
	ipfs.Getter
	has cid.Cid
	err error
}

func (f failing) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if !c.Equals(f.has) {
		return nil, f.err
	}
	return f.Getter.Get(ctx, c)
}

// waning is a store that has time for so many blocks.
type waning struct {
	ipfs.Getter
	left atomic.Int32
}

func (w *waning) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if w.left.Add(-1) < 0 {
		return nil, context.DeadlineExceeded
	}
	return w.Getter.Get(ctx, c)
}

// A root that takes more than one document has time for is shown when it was asked for often
// enough: what was read is not read again.
func TestReadingGoesOn(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	var top []ocispec.Descriptor
	for n := range 200 {
		top = append(top, oci.Named(l.Image("amd64", fmt.Append(nil, n)), fmt.Sprintf("app%d:1", n)))
	}
	root := l.Publish(top...)
	before := blocks.Gets()
	if _, err := pageOfRoots(blocks, root).inspect(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	store := &waning{Getter: blocks}
	store.left.Store(int32(blocks.Gets()-before) * 6 / 10)
	p := pageOfRoots(store, root)
	for tries := 1; ; tries++ {
		i, err := p.inspect(t.Context(), root)
		if err == nil {
			if len(i.images) != 200 || tries < 3 {
				t.Errorf("%d images after %d tries", len(i.images), tries)
			}
			break
		}
		if tries == 20 || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("after %d tries: %v", tries, err)
		}
		store.left.Store(300)
	}
	if _, kept := p.begun.Get(root); kept {
		t.Error("what was begun is kept beside what was read")
	}
}
