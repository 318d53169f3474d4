package layer

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/opencontainers/go-digest"
)

var lazy = Options{Lazy: true}

// tarOf writes entries with any headers; a header's Size is that of its data.
func tarOf(t testing.TB, write func(add func(h tar.Header, data []byte))) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	write(func(h tar.Header, data []byte) {
		t.Helper()
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if h.ModTime.IsZero() {
			h.ModTime = time.Unix(1_700_000_000, 123_000_000)
		}
		h.Size, h.Format = int64(len(data)), tar.FormatPAX
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// tree is a layer with all that a layer may have.
func tree(t testing.TB) []byte {
	return tarOf(t, func(add func(tar.Header, []byte)) {
		allKinds(add)
		add(tar.Header{Name: "./etc/", Typeflag: tar.TypeDir, Mode: 0o711}, nil) // again: the last one counts
	})
}

// allKinds adds all kinds of entries, each name once.
func allKinds(add func(tar.Header, []byte)) {
	add(tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	add(tar.Header{Name: "./etc/", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	add(tar.Header{Name: "./etc/empty"}, nil)
	for i := range 400 {
		if i%40 == 0 {
			add(tar.Header{Name: fmt.Sprintf("./etc/d%d/", i), Typeflag: tar.TypeDir, Mode: 0o1777, Uid: i, Gid: 7}, nil)
		}
		add(tar.Header{Name: fmt.Sprintf("./etc/d%d/file%d", i/40*40, i), Uid: 1 << 22, Gid: i}, text(uint64(i), i*20))
	}
	add(tar.Header{Name: "./bin/su", Mode: 0o4755}, text(1, 200<<10))
	add(tar.Header{Name: "./bin/large"}, text(2, 3*mib+17))
	add(tar.Header{Name: "./bin/piece"}, noise(3, maxSegment))
	add(tar.Header{Name: "./bin/pieces"}, noise(4, 2*maxSegment))
	add(tar.Header{Name: "./bin/large.pyc"}, text(5, 2*mib))
	add(tar.Header{Name: "./bin/small.pyc"}, text(6, 1000))
	add(tar.Header{Name: "./bin/header.pyc"}, text(7, codeHeader))
	add(tar.Header{Name: "./bin/broken.pyc"}, text(8, codeHeader-1))
	add(tar.Header{Name: "./bin/hard", Typeflag: tar.TypeLink, Linkname: "./bin/large"}, nil)
	add(tar.Header{Name: "./bin/hard2", Typeflag: tar.TypeLink, Linkname: "bin/hard"}, nil)
	add(tar.Header{Name: "./bin/soft", Typeflag: tar.TypeSymlink, Linkname: "../etc/<é>&\x01", Mode: 0o777}, nil)
	add(tar.Header{Name: "./bin/hardsoft", Typeflag: tar.TypeLink, Linkname: "./bin/soft", Mode: 0o777}, nil)
	add(tar.Header{Name: "./dev/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3, Mode: 0o666}, nil)
	add(tar.Header{Name: "./dev/disk", Typeflag: tar.TypeBlock, Devmajor: 8, Devminor: 300}, nil)
	add(tar.Header{Name: "./dev/pipe", Typeflag: tar.TypeFifo}, nil)
	add(tar.Header{Name: "./x/cap", PAXRecords: map[string]string{"SCHILY.xattr.security.capability": "\x01\x00\x00\x02\xff", "SCHILY.xattr.user.é": "ü", "comment": "c"}}, []byte("x"))
	add(tar.Header{Name: "./var/.wh.gone"}, nil)
	add(tar.Header{Name: "./opt/.wh..wh..opq"}, nil)
	add(tar.Header{Name: "./" + strings.Repeat("long/", 60) + strings.Repeat("n", 200), ModTime: time.Unix(-5, 0)}, []byte("deep"))
	add(tar.Header{Name: "./ünïcode\t\"<&\u2028\x7f", ModTime: time.Unix(0, 1)}, []byte("quoted"))
	add(tar.Header{Name: "./last"}, nil)
}

// many is a layer of n small files.
func many(t testing.TB, n int) []byte {
	return tarOf(t, func(add func(tar.Header, []byte)) {
		for i := range n {
			if i%50 == 0 {
				add(tar.Header{Name: fmt.Sprintf("d%d/", i/50), Typeflag: tar.TypeDir, Mode: 0o755}, nil)
			}
			add(tar.Header{Name: fmt.Sprintf("d%d/file%d", i/50, i)}, fmt.Appendf(nil, "%d", i))
		}
	})
}

// lazily compresses a tar and opens it with the reader of stargz-snapshotter.
func lazily(t testing.TB, plain []byte) ([]byte, *estargz.Reader) {
	t.Helper()
	blob, c := compress(t, bytes.NewReader(plain), lazy)
	index := c.Index()
	if index.Missing != nil {
		t.Fatal(index.Missing)
	}
	r, err := estargz.Open(io.NewSectionReader(bytes.NewReader(blob), 0, int64(len(blob))))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.TOCDigest().String(); got != index.Annotations()[AnnotationTOC] {
		t.Fatalf("the TOC's digest is %s, its annotation %v", got, index.Annotations())
	}
	return blob, r
}

// What a container sees that starts lazily is what it would see otherwise.
func TestLazyReaderSeesTheTar(t *testing.T) {
	if testing.Short() {
		t.Skip(slowUnderRace)
	}
	for name, plain := range map[string][]byte{
		"tree": tree(t), "sample": sample(t), "6000 files": many(t, 6000),
		"one file": makeTar(t, tarFile{"a", []byte("a")}), "one empty file": makeTar(t, tarFile{"a", nil}),
		"no end": makeTar(t, tarFile{"a", []byte("a")})[:2*blockSize], "long end": append(tree(t), make([]byte, 20*blockSize)...),
	} {
		t.Run(name, func(t *testing.T) {
			_, r := lazily(t, plain)
			sameTree(t, plain, r)
		})
	}
}

func TestLazyReaderSeesAHundredThousandFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	plain := many(t, 100_000)
	_, r := lazily(t, plain)
	sameTree(t, plain, r)
}

// sameTree compares every entry of a tar with what an index says, and all files'
// contents, read in both ways that the snapshotter knows.
func sameTree(t testing.TB, plain []byte, r *estargz.Reader) {
	t.Helper()
	want := map[string]bool{"": true}
	type file struct {
		h    *tar.Header
		data []byte
	}
	last := map[string]file{}
	for tr := tar.NewReader(bytes.NewReader(plain)); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		name := cleanName(h.Name)
		last[name] = file{h, data}
		for p := name; p != "." && p != ""; p = cleanName(p + "/..") {
			want[p] = true
		}
	}
	got := map[string]bool{}
	var walk func(path string, e *estargz.TOCEntry)
	walk = func(path string, e *estargz.TOCEntry) {
		got[path] = true
		e.ForeachChild(func(base string, child *estargz.TOCEntry) bool {
			walk(strings.TrimPrefix(path+"/"+base, "/"), child)
			return true
		})
	}
	root, ok := r.Lookup("")
	if !ok {
		t.Fatal("no root")
	}
	walk("", root)
	for name := range want {
		if !got[name] {
			t.Errorf("%q is not in the tree", name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("the tree has %d names, the tar %d", len(got), len(want))
	}
	read := 0
	for name, f := range last {
		sameEntry(t, r, name, f.h)
		if f.h.Typeflag == tar.TypeReg && (read < 300 || len(f.data) > minFile) {
			read++
			sameData(t, r, name, f.data)
		}
	}
}

func sameEntry(t testing.TB, r *estargz.Reader, name string, h *tar.Header) {
	t.Helper()
	e, ok := r.Lookup(name)
	if !ok {
		t.Errorf("%q is missing", name)
		return
	}
	if h.Typeflag == tar.TypeLink {
		if target, ok := r.Lookup(h.Linkname); !ok || target != e {
			t.Errorf("%q is %v, no link to %q", name, e, h.Linkname)
		}
		return
	}
	if e.Type != types[h.Typeflag] || e.LinkName != h.Linkname || e.Mode != h.Mode || e.UID != h.Uid || e.GID != h.Gid || e.Size != h.Size ||
		!e.ModTime().Equal(h.ModTime) || int64(e.DevMajor) != h.Devmajor || int64(e.DevMinor) != h.Devminor {
		t.Errorf("%q: the index has %+v, the tar %+v", name, e, h)
	}
	xattrs := 0
	for record, value := range h.PAXRecords {
		if x, ok := strings.CutPrefix(record, xattrPrefix); ok {
			xattrs++
			if string(e.Xattrs[x]) != value {
				t.Errorf("%q: attribute %s is %q, want %q", name, x, e.Xattrs[x], value)
			}
		}
	}
	if len(e.Xattrs) != xattrs {
		t.Errorf("%q has %d attributes, want %d", name, len(e.Xattrs), xattrs)
	}
}

func sameData(t testing.TB, r *estargz.Reader, name string, want []byte) {
	t.Helper()
	plain, err := r.OpenFile(name)
	if err != nil {
		t.Error(err)
		return
	}
	neighbours, err := r.OpenFileWithPreReader(name, func(e *estargz.TOCEntry, chunk io.Reader) error {
		data, err := io.ReadAll(chunk)
		if got := digest.FromBytes(data).String(); err == nil && got != e.ChunkDigest {
			err = fmt.Errorf("%s has digest %s, want %s", e.Name, got, e.ChunkDigest)
		}
		return err
	})
	if err != nil {
		t.Error(err)
		return
	}
	if got, err := io.ReadAll(plain); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%q: %d bytes, %v; want %d", name, len(got), err, len(want))
	}
	var got []byte
	for off := int64(0); off < int64(len(want)); {
		e, ok := r.ChunkEntryForOffset(name, off)
		if !ok {
			t.Errorf("%q: no chunk at %d", name, off)
			return
		}
		chunk := make([]byte, e.ChunkSize)
		if _, err := neighbours.ReadAt(chunk, off); err != nil {
			t.Errorf("%q at %d: %v", name, off, err)
			return
		}
		if d := digest.FromBytes(chunk).String(); d != e.ChunkDigest {
			t.Errorf("%q at %d: digest %s, want %s", name, off, d, e.ChunkDigest)
		}
		got = append(got, chunk...)
		off += e.ChunkSize
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%q in chunks: %d bytes, want %d", name, len(got), len(want))
	}
}

// What no index can tell as engines see it, is not told wrongly: such a layer
// is what it would be without --lazy.
func TestLayersThatGetNoIndex(t *testing.T) {
	one := func(h tar.Header) func(func(tar.Header, []byte)) {
		return func(add func(tar.Header, []byte)) { add(h, nil) }
	}
	plain := makeTar(t, tarFile{"a", []byte("a")}, tarFile{"b", []byte("b")})
	for why, in := range map[string][]byte{
		"no entries": make([]byte, 2*blockSize), "cut off": plain[:blockSize], "archive/tar does not read": append(noise(1, blockSize), plain...),
		"one empty block": append(make([]byte, blockSize), plain...),
		"not UTF-8":       bytes.ReplaceAll(tarOf(t, one(tar.Header{Name: "aé"})), []byte("path=aé"), []byte("path=a\xe9\xe9")),
		"there twice":     makeTar(t, tarFile{"a", []byte("a")}, tarFile{"./a", []byte("b")}),
		"no directory": tarOf(t, func(add func(tar.Header, []byte)) {
			add(tar.Header{Name: "lib", Typeflag: tar.TypeSymlink, Linkname: "usr/lib"}, nil)
			add(tar.Header{Name: "lib/x/a"}, []byte("a"))
		}),
		"hard link":       tarOf(t, one(tar.Header{Name: "a", Typeflag: tar.TypeLink, Linkname: "below"})),
		"entries of type": tarOf(t, one(tar.Header{Name: "a", Typeflag: tar.TypeCont})),
		"RFC 3339":        tarOf(t, one(tar.Header{Name: "a", ModTime: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)})),
		"12 KiB":          tarOf(t, one(tar.Header{Name: "a", PAXRecords: map[string]string{xattrPrefix + "user.a": strings.Repeat("v", 60<<10)}})),
		"of headers":      tarOf(t, one(tar.Header{Name: "a", PAXRecords: map[string]string{xattrPrefix + "user.a": strings.Repeat("v", 70<<10)}})),
	} {
		got, c := compress(t, bytes.NewReader(in), lazy)
		if err := c.Index().Missing; err == nil || !strings.Contains(err.Error(), why) || c.Index().Annotations() != nil {
			t.Errorf("%s: index %+v", why, c.Index())
		}
		if want, _ := compress(t, bytes.NewReader(in), Options{}); !bytes.Equal(got, want) {
			t.Errorf("%s: other bytes than without lazy", why)
		}
	}
}

// The members stay the blocks they are, and what comes behind them is cut so
// that an index shares none with them.
func TestIndexLeavesMembersAlone(t *testing.T) {
	for _, in := range [][]byte{tree(t), many(t, 6000)} {
		members, _ := compress(t, bytes.NewReader(in), Options{})
		blob, _ := lazily(t, in)
		if !bytes.HasPrefix(blob, members) {
			t.Fatal("the members changed")
		}
		want, got := cut(t, members), cut(t, blob)
		if shared := shared(want, got); shared != len(members) {
			t.Errorf("%d of %d bytes of members are the same blocks", shared, len(members))
		}
		pieces := got[len(want) : len(got)-1]
		for i, b := range pieces {
			if n := len(b); n != pieceHeader+maxPiece+len(pieceTrailer) && i < len(pieces)-1 || b[12] != pieceID1 {
				t.Errorf("a block of %d bytes is no piece", n)
			}
		}
		if n := len(got[len(got)-1]); n > joinBelow || !bytes.HasSuffix(blob, footer(int64(len(members)+pieceHeader))) {
			t.Errorf("the last block, with the footer, has %d bytes", n)
		}
	}
}

func TestGoldenDigestOfIndex(t *testing.T) {
	blob, _ := lazily(t, sample(t))
	if got := digest.FromBytes(blob); got != goldenLazy {
		t.Errorf("%s, want %s", got, goldenLazy)
	}
}

// Digests and CIDs depend on it.
func TestIndexIsTheSameOnAnyNumberOfCores(t *testing.T) {
	in := tree(t)
	want, _ := lazily(t, in)
	for _, cores := range []int{1, 2, 5} {
		before := runtime.GOMAXPROCS(cores)
		got, _ := compress(t, iotest.HalfReader(bytes.NewReader(in)), lazy)
		runtime.GOMAXPROCS(before)
		if !bytes.Equal(got, want) {
			t.Errorf("%d cores give other bytes", cores)
		}
	}
}

// Between two payloads, nothing may end the block of blanks.
func TestGlueIsBlank(t *testing.T) {
	_, lead := beginBlanks()
	if !isBlank(glue(maxPiece), lead) {
		t.Fatal("a full piece cannot be one")
	}
	ends := 0
	for n := range maxPiece + 1 {
		text, ok := blanksOf(glue(n), lead)
		if !ok {
			ends++
		}
		if len(bytes.TrimLeft(text, " \n\t\r")) > 0 {
			t.Fatalf("length %d: %q", n, text)
		}
	}
	if ends > 10 {
		t.Errorf("%d lengths cannot be", ends)
	}
}
