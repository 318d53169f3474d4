package layer

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

const mib = 1 << 20

// noise gives n bytes that do not compress, the same for every run.
func noise(seed uint64, n int) []byte {
	r := rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, seed)))
	data := make([]byte, n)
	_, _ = r.Read(data)
	return data
}

// text gives n bytes that compress about as programs do.
func text(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "line %d of file %d: %x\n", r.IntN(1000), seed, r.Uint32())
	}
	return b.Bytes()[:n]
}

type tarFile struct {
	name string
	data []byte
}

func makeTar(t testing.TB, files ...tarFile) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sample(t testing.TB) []byte {
	files := []tarFile{{"large", text(1, 3*mib+5)}, {"noise", noise(2, 2*mib)}, {"empty", nil}}
	for i := range 300 {
		files = append(files, tarFile{fmt.Sprintf("small/%d", i), text(uint64(i), i*40)})
	}
	files = append(files, tarFile{"code.pyc", text(8, 60<<10)}, tarFile{"last", text(9, 40<<10)})
	return makeTar(t, files...)
}

func compress(t testing.TB, in io.Reader, o Options) ([]byte, *Compressor) {
	c, err := NewCompressor(context.Background(), in, o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	out, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return out, c
}

func cut(t testing.TB, blob []byte) [][]byte {
	c := NewCutter(iotest.HalfReader(bytes.NewReader(blob)), mib)
	var blocks [][]byte
	for {
		b, err := c.NextBytes()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(b) == 0 || len(b) > mib {
			t.Fatalf("block of %d bytes", len(b))
		}
		blocks = append(blocks, b)
	}
	if !bytes.Equal(bytes.Join(blocks, nil), blob) {
		t.Fatal("the blocks are not the blob")
	}
	return blocks
}

// slowUnderRace is why -short, with which the race detector runs, leaves tests out.
const slowUnderRace = "compresses for minutes under the race detector"

func TestStockReadersDecompress(t *testing.T) {
	in := sample(t)
	for _, o := range []Options{{}, {Compression: Gzip, Level: 1}, {Compression: Gzip, Level: 9}, {Compression: Zstd}} {
		out, c := compress(t, bytes.NewReader(in), o)
		var r io.Reader
		var err error
		if o.Compression == Zstd {
			r, err = zstd.NewReader(bytes.NewReader(out))
		} else {
			r, err = gzip.NewReader(bytes.NewReader(out))
		}
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(plain, in) {
			t.Errorf("%v: decompresses to %d bytes, %v; want the %d that went in", o, len(plain), err, len(in))
		}
		if c.DiffID() != digest.FromBytes(in) || c.Size() != int64(len(in)) {
			t.Errorf("%v: diffID %s, size %d", o, c.DiffID(), c.Size())
		}
	}
}

func TestEmptyLayer(t *testing.T) {
	out, _ := compress(t, bytes.NewReader(nil), Options{})
	r, err := gzip.NewReader(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := io.ReadAll(r); err != nil || len(plain) != 0 {
		t.Errorf("%d bytes, %v", len(plain), err)
	}
}

// Digests and CIDs of every image depend on it.
func TestOutputIsTheSameOnAnyNumberOfCores(t *testing.T) {
	in := sample(t)
	for _, compression := range []Compression{Gzip, Zstd} {
		want, _ := compress(t, bytes.NewReader(in), Options{Compression: compression})
		for _, cores := range []int{1, 2, 5} {
			before := runtime.GOMAXPROCS(cores)
			got, _ := compress(t, iotest.HalfReader(bytes.NewReader(in)), Options{Compression: compression})
			runtime.GOMAXPROCS(before)
			if !bytes.Equal(got, want) {
				t.Errorf("%s on %d cores gives other bytes", compression, cores)
			}
		}
	}
}

// Released versions have published layers with these digests: a change of the
// cuts, of the compressor or of its level renames every image.
func TestGoldenDigests(t *testing.T) {
	in := sample(t)
	for compression, want := range goldenDigests {
		out, _ := compress(t, bytes.NewReader(in), Options{Compression: compression})
		if got := digest.FromBytes(out); got != want {
			t.Errorf("%s: %s, want %s", compression, got, want)
		}
	}
}

func shared(a, b [][]byte) (bytes int) {
	seen := map[digest.Digest]bool{}
	for _, block := range a {
		seen[digest.FromBytes(block)] = true
	}
	for _, block := range b {
		if seen[digest.FromBytes(block)] {
			bytes += len(block)
		}
	}
	return bytes
}

// What this package is for: a changed file costs its own blocks.
func TestUnchangedFilesAreTheSameBlocks(t *testing.T) {
	var files []tarFile
	for i := range 60 {
		files = append(files, tarFile{fmt.Sprintf("file%d", i), text(uint64(i), 100<<10)})
	}
	for _, compression := range []Compression{Gzip, Zstd} {
		old, _ := compress(t, bytes.NewReader(makeTar(t, files...)), Options{Compression: compression})
		changed := append([]tarFile{{"new", text(100, 5000)}}, files...)
		changed[30].data = text(101, 150<<10)
		updated, _ := compress(t, bytes.NewReader(makeTar(t, changed...)), Options{Compression: compression})
		if same := shared(cut(t, old), cut(t, updated)); same < len(updated)*90/100 {
			t.Errorf("%s: %d of %d bytes are shared, want 90 %%", compression, same, len(updated))
		}
	}
}

// A package of Python that is installed again brings the same code with other
// times in front of it.
func TestCodeOfAnotherTimeIsShared(t *testing.T) {
	code := func(time string) []byte {
		return makeTar(t, tarFile{"a.pyc", append([]byte(time), text(1, 200<<10)...)}, tarFile{"b.pyc", append([]byte(time), text(2, 30<<10)...)})
	}
	for _, o := range []Options{{}, lazy, chunked} {
		t.Run(o.String(), func(t *testing.T) {
			known, all, fresh := map[string]bool{}, 0, 0
			for i, time := range []string{"0123456789abcdef", "0123456789ABCDEF"} {
				blob, _ := compress(t, bytes.NewReader(code(time)), o)
				for _, b := range cut(t, blob) {
					if all += len(b); i > 0 && !known[string(b)] {
						fresh += len(b)
					}
					known[string(b)] = true
				}
			}
			if fresh > all/40 {
				t.Errorf("%d of %d bytes are new", fresh, all/2)
			}
		})
	}
}

func TestInsertedSmallFileMovesFewCuts(t *testing.T) {
	var files []tarFile
	for i := range 3000 {
		files = append(files, tarFile{fmt.Sprintf("usr/share/file%d", i), text(uint64(i), 2000)})
	}
	old, _ := compress(t, bytes.NewReader(makeTar(t, files...)), Options{})
	updated, _ := compress(t, bytes.NewReader(makeTar(t, append([]tarFile{{"a", nil}}, files...)...)), Options{})
	if same := shared(cut(t, old), cut(t, updated)); same < len(updated)*80/100 {
		t.Errorf("%d of %d bytes are shared, want 80 %%", same, len(updated))
	}
}

func TestCutsOfForeignBlobs(t *testing.T) {
	var plainGzip bytes.Buffer
	w := gzip.NewWriter(&plainGzip)
	_, _ = w.Write(noise(1, 3*mib))
	_ = w.Close()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	frames := [][]byte{enc.EncodeAll(noise(3, 300<<10), nil), enc.EncodeAll(text(4, 500<<10), nil), enc.EncodeAll(noise(5, 3*mib), nil)}
	for name, test := range map[string]struct {
		blob []byte
		want []int
	}{
		"empty":           {nil, nil},
		"one byte":        {[]byte{1}, []int{1}},
		"opaque":          {noise(1, 2*mib+7), []int{mib, mib, 7}},
		"gzip in one":     {plainGzip.Bytes()[:2*mib], []int{mib, mib}},
		"zstd frames":     {bytes.Join(frames, nil), []int{len(frames[0]), len(frames[1]), mib, mib, mib, len(frames[2]) - 3*mib}},
		"skippable frame": {append([]byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'}, frames[0]...), []int{11, len(frames[0])}},
	} {
		var got []int
		for _, b := range cut(t, test.blob) {
			got = append(got, len(b))
		}
		if fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%s: blocks of %d, want %d", name, got, test.want)
		}
	}
}

func TestCutterReportsReadErrors(t *testing.T) {
	broken := errors.New("broken")
	c := NewCutter(io.MultiReader(bytes.NewReader(noise(1, 2*mib)), iotest.ErrReader(broken)), mib)
	var err error
	for err == nil {
		_, err = c.NextBytes()
	}
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
}

func TestCompressorReportsReadErrorsAndCancellation(t *testing.T) {
	broken := errors.New("broken")
	c, err := NewCompressor(context.Background(), io.MultiReader(bytes.NewReader(sample(t)), iotest.ErrReader(broken)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	c.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c, err = NewCompressor(ctx, bytes.NewReader(noise(1, 64*mib)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	c.Close()
}

func FuzzCutter(f *testing.F) {
	out, _ := compress(f, bytes.NewReader(makeTar(f, tarFile{"a", text(1, 50<<10)})), Options{})
	f.Add(out)
	z, _ := compress(f, bytes.NewReader(makeTar(f, tarFile{"a", text(1, 50<<10)})), Options{Compression: Zstd})
	f.Add(z)
	f.Fuzz(func(t *testing.T, blob []byte) { cut(t, blob) })
}

func FuzzSegmenter(f *testing.F) {
	f.Add(makeTar(f, tarFile{"a", text(1, 50<<10)}, tarFile{"b", nil}))
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, apart := range []bool{false, true} {
			s := newSegmenter(bytes.NewReader(in), apart)
			var all []byte
			for {
				seg, err := s.next()
				if err == io.EOF {
					break
				}
				if err != nil || len(seg) == 0 || len(seg) > maxSegment+minFile {
					t.Fatalf("segment of %d bytes, %v", len(seg), err)
				}
				all = append(all, seg...)
			}
			if !bytes.Equal(all, in) {
				t.Fatal("the segments are not the input")
			}
		}
	})
}
