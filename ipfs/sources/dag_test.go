package sources

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/gateway"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// streamer sends a file's blocks in order, as told by spoil.
type streamer struct {
	*testlayout.Blocks
	order []cid.Cid
	spoil func(ctx context.Context, i int) error // before the i-th block
}

func (s *streamer) Stream(ctx context.Context, _ cid.Cid, yield func(cid.Cid, []byte) error) error {
	for i, c := range s.order {
		if s.spoil != nil {
			if err := s.spoil(ctx, i); err != nil {
				return err
			}
		}
		data, err := s.Blocks.Get(ctx, c)
		if err != nil {
			return err
		}
		if err := yield(c, data); err != nil {
			return err
		}
	}
	return nil
}

// recording notes the blocks in the order in which they are read.
type recording struct {
	ipfs.Getter
	order []cid.Cid
}

func (r *recording) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	r.order = append(r.order, c)
	return r.Getter.Get(ctx, c)
}

// file is a file of n MiB, and a streamer that has it.
func file(t testing.TB, n int) ([]byte, cid.Cid, *streamer) {
	t.Helper()
	data := make([]byte, n<<20)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	copy(data[1<<20:2<<20], data[:1<<20]) // a block that occurs twice
	s := &streamer{Blocks: testlayout.NewBlocks()}
	link, err := ipfs.AddFile(t.Context(), s.Blocks, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	rec := &recording{Getter: s.Blocks}
	f, err := ipfs.OpenFile(t.Context(), rec, link.CID, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(io.Discard, f); err != nil {
		t.Fatal(err)
	}
	seen := map[cid.Cid]bool{}
	for _, c := range rec.order {
		if !seen[c] {
			seen[c] = true
			s.order = append(s.order, c)
		}
	}
	return data, link.CID, s
}

func readAll(t testing.TB, set *Set, c cid.Cid) ([]byte, error) {
	t.Helper()
	d := set.DAG(c)
	f, err := ipfs.OpenFile(t.Context(), d, c, 16)
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	d.Stream()
	data, err := io.ReadAll(f)
	return data, errors.Join(err, d.Close(), f.Close())
}

// One stream instead of many questions, whatever the size.
func TestDAGStreams(t *testing.T) {
	for _, n := range []int{5, 40} { // less and more than what is held
		data, c, s := file(t, n)
		before := s.Gets()
		set := New(Options{Hedge: time.Minute}, Far(s))
		defer set.Close()
		got, err := readAll(t, set, c)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		// the streamer's own, the first block, and the one that occurs twice
		if singles := s.Gets() - before - len(s.order); singles > 2+n/16 {
			t.Errorf("%d single blocks beside the stream of %d", singles, len(s.order))
		}
	}
}

// A stream that fails, stalls or lies costs no more than itself.
func TestDAGStreamFails(t *testing.T) {
	data, c, s := file(t, 8)
	for name, spoil := range map[string]func(ctx context.Context, i int) error{
		"unsupported": func(context.Context, int) error { return errors.ErrUnsupported },
		"breaks off": func(_ context.Context, i int) error {
			if i == 4 {
				return fmt.Errorf("%w: cut", ipfs.ErrUnavailable)
			}
			return nil
		},
		"stalls": func(ctx context.Context, i int) error {
			if i == 4 {
				<-ctx.Done()
			}
			return ctx.Err()
		},
		"lies": func(_ context.Context, i int) error {
			if i == 4 {
				return fmt.Errorf("%w: false", ipfs.ErrCorrupt)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s.spoil = spoil
			other := &fake{name: "other", get: s.Blocks.Get}
			set := New(Options{Hedge: 100 * time.Millisecond}, Far(s), Far(other))
			defer set.Close()
			got, err := readAll(t, set, c)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if liar := set.far[0].trusted() != nil; liar != (name == "lies") {
				t.Errorf("held for a liar: %t", liar)
			}
		})
	}
}

// Blocks that are right but not asked for must not fill the memory.
func TestDAGRefusesForeignBlocks(t *testing.T) {
	data, c, s := file(t, 8)
	_, _, other := file(t, 9)
	other.CopyTo(s.Blocks)
	s.order = append(s.order[:2:2], other.order...)
	honest := &fake{name: "honest", get: s.Blocks.Get}
	set := New(Options{}, Far(s), Far(honest))
	defer set.Close()
	got, err := readAll(t, set, c)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if set.far[0].trusted() == nil {
		t.Error("it is still trusted")
	}
}

// What a store on this machine shares with the image is not fetched again.
func TestDAGLeavesNearBlocks(t *testing.T) {
	data, c, s := file(t, 8)
	near := testlayout.NewBlocks()
	s.CopyTo(near)
	near.Drop(c)
	s.spoil = func(context.Context, int) error { t.Error("it streams"); return errors.ErrUnsupported }
	set := New(Options{}, Near(near), Far(s))
	defer set.Close()
	if got, err := readAll(t, set, c); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// blocksOnly is a gateway that gives s's blocks, and car in place of CARs.
func blocksOnly(t *testing.T, s *streamer, car http.HandlerFunc) *gateway.Gateway {
	t.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("format") == "car" {
			car(w, r)
			return
		}
		c, err := cid.Decode(strings.TrimPrefix(r.URL.Path, "/ipfs/"))
		if err != nil {
			t.Error(err)
		}
		block, err := s.Blocks.Get(r.Context(), c)
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.ipld.raw")
		w.Write(block)
	}))
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(web.Close)
	t.Cleanup(client.CloseIdleConnections)
	g, err := gateway.New(web.URL+"/", gateway.Options{Client: client})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// A gateway that has no CARs is asked for one once; one that has none of this DAG,
// or not now, is asked for the next. Its blocks are read at once in any case.
func TestGatewayWithoutCARs(t *testing.T) {
	data, c, s := file(t, 5)
	const files = 2
	for _, test := range []struct {
		status, want int
		kind         string
	}{
		{406, 1, "text/plain"}, {400, 1, "text/plain"}, {501, 1, "text/plain"}, {200, 1, "text/html"},
		{404, files, "text/plain"}, {410, files, "text/plain"}, {403, files, "text/plain"}, {429, files, "text/plain"}, {503, files, "text/plain"}, {504, files, "text/plain"},
	} {
		asked := 0
		g := blocksOnly(t, s, func(w http.ResponseWriter, _ *http.Request) {
			asked++
			w.Header().Set("Content-Type", test.kind)
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(test.status)
		})
		set := New(Options{}, Far(g))
		for range files {
			if got, err := readAll(t, set, c); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d: %d bytes, %v", test.status, len(got), err)
			}
		}
		if asked != test.want || !set.far[0].Up() {
			t.Errorf("%d: asked for a CAR %d times, want %d; up: %t", test.status, asked, test.want, set.far[0].Up())
		}
		set.Close()
	}
	if _, err := gateway.New("localhost:8080", gateway.Options{}); err == nil {
		t.Error("no URL is taken")
	}
}
