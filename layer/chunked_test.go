package layer

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/containerd/stargz-snapshotter/estargz/zstdchunked"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/vbatts/tar-split/tar/asm"
	"github.com/vbatts/tar-split/tar/storage"
)

var chunked = Options{Compression: Chunked}

// onceTree is a layer with all that zstd:chunked knows.
func onceTree(t testing.TB) []byte {
	return withParents(t, tarOf(t, func(add func(tar.Header, []byte)) {
		allKinds(add)
		add(tar.Header{Name: "times", AccessTime: time.Unix(1_600_000_000, 5), ChangeTime: time.Unix(-7, 0)}, []byte("t"))
	}))
}

// inChunks compresses a tar and opens it with the reader of stargz-snapshotter.
func inChunks(t testing.TB, plain []byte) ([]byte, *estargz.Reader, Index) {
	t.Helper()
	blob, c := compress(t, bytes.NewReader(plain), chunked)
	index := c.Index()
	if index.Missing != nil {
		t.Fatal(index.Missing)
	}
	r, err := openChunked(blob)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.TOCDigest().String(); got != index.Annotations()[AnnotationTOC] {
		t.Fatalf("the TOC's digest is %s, its annotation %v", got, index.Annotations())
	}
	return blob, r, index
}

func openChunked(blob []byte) (*estargz.Reader, error) {
	return estargz.Open(io.NewSectionReader(bytes.NewReader(blob), 0, int64(len(blob))), estargz.WithDecompressors(new(zstdchunked.Decompressor)))
}

// plainOf decompresses a zstd blob as engines do.
func plainOf(t testing.TB, blob []byte) []byte {
	t.Helper()
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	plain, err := d.DecodeAll(blob, nil)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// A container sees the same whether it starts before its layers are there, its
// files are fetched one by one, or the layer is pulled.
func TestChunkedLayersAreTheTar(t *testing.T) {
	if testing.Short() {
		t.Skip(slowUnderRace)
	}
	for name, plain := range map[string][]byte{
		"tree": onceTree(t), "sample": withParents(t, sample(t)), "600 files": withParents(t, many(t, 600)),
		"one file": makeTar(t, tarFile{"a", []byte("a")}), "one empty file": makeTar(t, tarFile{"a", nil}),
		"no end": makeTar(t, tarFile{"a", []byte("a")})[:2*blockSize], "long end": append(onceTree(t), make([]byte, 3*mib)...),
	} {
		t.Run(name, func(t *testing.T) {
			blob, r, index := inChunks(t, plain)
			if !bytes.Equal(plainOf(t, blob), plain) {
				t.Fatal("the tar changed")
			}
			sameTree(t, plain, r)
			if err := VerifyIndex(bytes.NewReader(blob), int64(len(blob)), index.Annotations(), index.Chunked()); err != nil {
				t.Error(err)
			}
			if again := tarOfSplit(t, blob, index, r); !bytes.Equal(again, plain) {
				t.Errorf("files and tar-split make %d bytes, want the %d of the tar", len(again), len(plain))
			}
		})
	}
}

// tarOfSplit makes the tar of the tar-split and single files, as podman does.
func tarOfSplit(t testing.TB, blob []byte, index Index, files *estargz.Reader) []byte {
	t.Helper()
	var at, n, raw int64
	if _, err := fmt.Sscanf(index.Chunked()[annotationChunkedTarSplit], "%d:%d:%d", &at, &n, &raw); err != nil {
		t.Fatal(err)
	}
	text := plainOf(t, blob[at:at+n])
	if int64(len(text)) != raw {
		t.Errorf("the tar-split has %d bytes, %d are stated", len(text), raw)
	}
	var b bytes.Buffer
	if err := asm.WriteOutputTarStream(getter{files}, storage.NewJSONUnpacker(bytes.NewReader(text)), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type getter struct{ files *estargz.Reader }

func (g getter) Get(name string) (io.ReadCloser, error) {
	r, err := g.files.OpenFile(name)
	return io.NopCloser(r), err
}

// Each file that has data lies in frames of its own, so that it can be fetched
// alone and is the same in every layer.
func TestFramesOfFiles(t *testing.T) {
	data := text(1, 3000)
	one, _ := compress(t, bytes.NewReader(makeTar(t, tarFile{"a", data}, tarFile{"b", noise(2, 2*mib)})), chunked)
	two, _ := compress(t, bytes.NewReader(makeTar(t, tarFile{"other/", nil}, tarFile{"other/name", data})), chunked)
	normal, err := chunked.normal()
	if err != nil {
		t.Fatal(err)
	}
	enc, err := normal.newEncoder()
	if err != nil {
		t.Fatal(err)
	}
	frame, err := enc(nil, data)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(one, frame) || !bytes.Contains(two, frame) {
		t.Error("the file has no frame of its own")
	}
	for z, err := newZstdFrames(bytes.NewReader(one)); ; {
		if err != nil {
			t.Fatal(err)
		}
		_, got, err := z.next()
		if err == io.EOF {
			break
		}
		if err != nil || len(got) > maxSegment {
			t.Fatalf("a frame of %d bytes, %v", len(got), err)
		}
	}
}

// Small frames share blocks, or a layer would have a block for each file; and what
// is new in one place leaves the blocks of others what they are.
func TestSmallFramesShareBlocks(t *testing.T) {
	var files []tarFile
	for i := range 4000 {
		files = append(files, tarFile{fmt.Sprintf("d%d/f%d", i/50, i), text(uint64(i), 500+i%1500)})
	}
	files[1000].data = noise(1, 40<<10)
	before, _, _ := inChunks(t, withParents(t, makeTar(t, files...)))
	want := cut(t, before)
	if n := len(want); n > len(before)/(10<<10) || n < len(before)/maxBlock {
		t.Errorf("%d blocks for %d bytes", n, len(before))
	}
	largest := 0
	for _, b := range want[:len(want)-3] { // the index
		largest = max(largest, len(b))
	}
	if largest > maxBlock {
		t.Errorf("a block of %d bytes", largest)
	}
	files[2000].data = text(1, 999)
	after, _, _ := inChunks(t, withParents(t, makeTar(t, append(files[:500:500], append([]tarFile{{"d10/new", text(3, 900)}}, files[500:]...)...)...)))
	frames := len(after) - len(after)/8 // less the index
	if shared := shared(want, cut(t, after)); shared < frames*8/10 {
		t.Errorf("of %d bytes %d are the same blocks", len(after), shared)
	}
	if alone := cut(t, before); !slices.ContainsFunc(alone, func(b []byte) bool { return bytes.Contains(b, files[1000].data[:30<<10]) && len(b) < 41<<10 }) {
		t.Error("a large file is in a block with others")
	}
}

func TestLayersThatAreNotIndexedInChunks(t *testing.T) {
	if testing.Short() {
		t.Skip(slowUnderRace)
	}
	global := tarOf(t, func(add func(tar.Header, []byte)) { add(tar.Header{Name: "a"}, []byte("a")) })
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "c"}}); err != nil {
		t.Fatal(err)
	}
	global = append(b.Bytes(), global...)
	for why, in := range map[string][]byte{
		"no entries": make([]byte, 2*blockSize), "cut off": makeTar(t, tarFile{"a", []byte("a")})[:blockSize], "archive/tar does not read": noise(1, 2*blockSize),
		"there twice": withParents(t, tree(t)), `lies in "a/b", which no entry`: makeTar(t, tarFile{"a/", nil}, tarFile{"a/b/c", nil}, tarFile{"a/b/", nil}), "a global header": global, "sparse file": sparse(t),
		"decoding a tar header": append(onceTree(t), noise(1, 5000)...), // behind the end
		"there twice, which":    makeTar(t, tarFile{"d/", nil}, tarFile{"a", nil}, tarFile{"d/", nil}),
		"not UTF-8":             bytes.ReplaceAll(tarOf(t, func(add func(tar.Header, []byte)) { add(tar.Header{Name: "aé"}, nil) }), []byte("path=aé"), []byte("path=a\xe9\xe9")),
		"that has no data":      statingSize(t),
		"a whiteout of 4 bytes": makeTar(t, tarFile{"d/", nil}, tarFile{"d/.wh.a", []byte("data")}),
	} {
		blob, c := compress(t, bytes.NewReader(in), chunked)
		if err := c.Index().Missing; err == nil || !strings.Contains(err.Error(), why) || c.Index().Annotations() != nil || c.Index().Chunked() != nil {
			t.Errorf("%s: index %+v", why, c.Index())
		}
		if !bytes.Equal(plainOf(t, blob), in) {
			t.Errorf("%s: the tar changed", why)
		}
	}
}

// An index that says other than its layer is found, whichever part of it it is.
func TestVerifyChunkedFindsLies(t *testing.T) {
	plain := onceTree(t)
	blob, _, index := inChunks(t, plain)
	other, _, others := inChunks(t, makeTar(t, tarFile{"a", []byte("other")}))
	verify := func(blob []byte, annotations ...map[string]string) error {
		return VerifyIndex(bytes.NewReader(blob), int64(len(blob)), annotations...)
	}
	with := func(name, value string) map[string]string {
		a := index.Chunked()
		a[name] = value
		return a
	}
	frames := blob[:index.at.toc-skippableHeader]
	fake := func(headers []byte, toc []byte) ([]byte, Index) { return forgeChunked(t, frames, headers, toc) }
	split := plainOf(t, blob[index.at.split():][:index.at.splitSize])
	toc := plainOf(t, blob[index.at.toc:][:index.at.tocSize])
	honest, says := fake(split, toc)
	if err := verify(honest, says.Annotations(), says.Chunked()); err != nil {
		t.Fatal(err)
	}
	lies := map[string]error{
		"other JSON":       verify(blob, saying(digest.FromString("other"))),
		"other checksum":   verify(blob, with(AnnotationChunkedTOC, digest.FromString("other").String())),
		"other place":      verify(blob, with(annotationChunkedAt, "1:2:3:1")),
		"other type":       verify(blob, with(annotationChunkedAt, "1:2:3:2")),
		"no place":         verify(blob, with(annotationChunkedAt, "")),
		"outside":          verify(blob, with(annotationChunkedAt, "99999999999:2:3:1")),
		"other split":      verify(blob, with(annotationChunkedTarSplit, "1:2:3")),
		"no split":         verify(blob, with(annotationChunkedTarSplit, "")),
		"split is no text": verify(blob, with(annotationChunkedTarSplit, "x")),
		"another layer's":  verify(append(bytes.Clone(frames), other...), others.Annotations()),
		"no footer":        verify(blob[:len(blob)-1], index.Annotations()),
		"short":            verify(blob[:10], index.Annotations()),
	}
	for name, change := range map[string][2]string{
		"mode": {`"mode":2541`, `"mode":493`}, "time": {`"accesstime":"2020`, `"accesstime":"2021`}, "name": {"file100", "file1OO"}, "chunk": {`"chunkOffset":1044480`, `"chunkOffset":1044481`},
	} {
		changed := bytes.ReplaceAll(toc, []byte(change[0]), []byte(change[1]))
		if bytes.Equal(changed, toc) {
			t.Fatalf("%s: nothing to change", name)
		}
		lie, says := fake(split, changed)
		lies[name] = verify(lie, says.Annotations(), says.Chunked())
	}
	lie, says := fake(bytes.Replace(split, []byte(`"position":5`), []byte(`"position":5,"size":7`), 1), toc)
	lies["tar-split"] = verify(lie, says.Chunked())
	for name, err := range lies {
		if !errors.Is(err, ErrIndex) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// forgeChunked makes a layer of frames with any tar-split and JSON.
func forgeChunked(t testing.TB, frames, split, toc []byte) ([]byte, Index) {
	t.Helper()
	c, err := newChunkedIndex()
	if err != nil {
		t.Fatal(err)
	}
	c.scanned()
	c.splitBy = nil
	if c.rest, err = newSmallText(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.rest.Write(split); err != nil {
		t.Fatal(err)
	}
	toc, _, _ = bytes.Cut(toc, []byte(`],"tarSplitDigest"`))
	w := tocWriter{add: c.add, count: 1}
	if err := c.add(toc); err != nil {
		t.Fatal(err)
	}
	trailer, index, err := c.seal(&w, int64(len(frames)))
	if err != nil {
		t.Fatal(err)
	}
	return append(bytes.Clone(frames), trailer...), index
}

func TestGoldenDigestOfChunked(t *testing.T) {
	blob, _, _ := inChunks(t, withParents(t, sample(t)))
	if got := digest.FromBytes(blob); got != goldenChunked {
		t.Errorf("%s, want %s", got, goldenChunked)
	}
}

func TestChunkedIsTheSameOnAnyNumberOfCores(t *testing.T) {
	in := onceTree(t)
	want, _, _ := inChunks(t, in)
	for _, cores := range []int{1, 2, 5} {
		before := runtime.GOMAXPROCS(cores)
		got, _ := compress(t, iotest.HalfReader(bytes.NewReader(in)), chunked)
		runtime.GOMAXPROCS(before)
		if !bytes.Equal(got, want) {
			t.Errorf("%d cores give other bytes", cores)
		}
	}
}

// FuzzChunked gives layers of any bytes to the index's writer: either there is no
// index, or its readers open it and it is right.
func FuzzChunked(f *testing.F) {
	f.Add(makeTar(f, tarFile{"a", text(1, 50<<10)}, tarFile{"b/", nil}, tarFile{"b/c", nil}))
	f.Add(onceTree(f)[:8*blockSize])
	f.Add(malformedPax(f))
	f.Add(sparse(f))
	f.Add(statingSize(f))
	f.Fuzz(func(t *testing.T, in []byte) {
		blob, c := compress(t, bytes.NewReader(in), chunked)
		if !bytes.Equal(plainOf(t, blob), in) {
			t.Fatal("the tar changed")
		}
		index := c.Index()
		if index.Missing != nil {
			return
		}
		r, err := openChunked(blob)
		if err != nil {
			t.Fatal(err)
		}
		sameTree(t, in, r)
		if err := VerifyIndex(bytes.NewReader(blob), int64(len(blob)), index.Annotations(), index.Chunked()); err != nil {
			t.Error(err)
		}
		if again := tarOfSplit(t, blob, index, r); !bytes.Equal(again, in) {
			t.Error("files and tar-split make another tar")
		}
	})
}
