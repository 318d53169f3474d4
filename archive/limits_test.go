package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// zeros yields n zero bytes.
type zeros struct{ n int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.n)
	clear(p[:n])
	z.n -= n
	return int(n), nil
}

// tarOf is a tar with one entry of size zero bytes.
func tarOf(t *testing.T, w io.Writer, size int64) {
	t.Helper()
	tw := tar.NewWriter(w)
	err := tw.WriteHeader(&tar.Header{Name: "layer.tar", Typeflag: tar.TypeReg, Mode: 0o644, Size: size})
	if err == nil {
		_, err = io.Copy(tw, &zeros{size})
	}
	if err = errors.Join(err, tw.Close()); err != nil {
		t.Fatal(err)
	}
}

// file writes data to a file and opens it as an archive.
func open(t testing.TB, data []byte) (*Archive, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return Open(path)
}

// walk reads all of an archive.
func walk(a *Archive) (entries []string, err error) {
	err = a.Walk(context.Background(), nil, func(e Entry) error {
		entries = append(entries, e.Name)
		if e.Content == nil {
			return nil
		}
		_, err := io.Copy(io.Discard, e.Content)
		return err
	})
	return entries, errors.Join(err, a.Close())
}

// refused fails unless data is refused in words.
func refused(t *testing.T, what string, data []byte, words ...string) {
	t.Helper()
	a, err := open(t, data)
	if err == nil {
		_, err = walk(a)
	}
	if !errors.Is(err, ErrFormat) {
		t.Errorf("%s: %v; want ErrFormat", what, err)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %q does not say %q", what, err, word)
		}
	}
}

// wrappers compress as each program does that people pipe archives through.
func wrappers(t *testing.T) map[string]func(io.Writer) io.WriteCloser {
	return map[string]func(io.Writer) io.WriteCloser{
		"gzip": func(w io.Writer) io.WriteCloser {
			z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
			if err != nil {
				t.Fatal(err)
			}
			return z
		},
		"zstd": func(w io.Writer) io.WriteCloser {
			z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest))
			if err != nil {
				t.Fatal(err)
			}
			return z
		},
		"lz4": func(w io.Writer) io.WriteCloser {
			z := lz4.NewWriter(w)
			if err := z.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.BlockChecksumOption(true)); err != nil {
				t.Fatal(err)
			}
			return z
		},
	}
}

// A small file must not make a machine write or hash for ever; one that
// compresses well must pass.
func TestBombs(t *testing.T) {
	if testing.Short() {
		t.Skip("decompresses more than a GiB")
	}
	for name, wrap := range wrappers(t) {
		for size, bomb := range map[int64]bool{64 << 20: false, ratioFree + 512<<20: true} {
			var data bytes.Buffer
			z := wrap(&data)
			tarOf(t, z, size)
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			if bomb {
				refused(t, name, data.Bytes(), "decompression bomb", name)
				continue
			}
			a, err := open(t, data.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if entries, err := walk(a); err != nil || len(entries) != 1 {
				t.Errorf("%s: %d zero bytes: %v, %v", name, size, entries, err)
			}
		}
	}
}

func TestAbsoluteLimit(t *testing.T) {
	var in atomic.Int64
	in.Store(1 << 60)
	b := &bounded{r: &zeros{1 << 20}, in: &in, what: "gzip", out: maxInflated - 100}
	if _, err := io.Copy(io.Discard, b); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), fmt.Sprint(int64(maxInflated))) {
		t.Errorf("%v; want the limit", err)
	}
}

// A frame may say that it needs gigabytes of memory.
func TestZstdWindow(t *testing.T) {
	// Magic, descriptor without single segment, window of 1 TiB, an empty last block.
	frame := append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf0, 0x01, 0x00, 0x00}, make([]byte, 600)...)
	refused(t, "window of a TiB", frame, "zstd", "window")
}

// A broken wrapper is the archive's fault, not the machine's.
func TestBrokenWrapper(t *testing.T) {
	for name, wrap := range wrappers(t) {
		var data bytes.Buffer
		z := wrap(&data)
		tarOf(t, z, 100_000)
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		whole := data.Bytes()
		refused(t, name+" cut", whole[:len(whole)/2], "truncated")
		flipped := bytes.Clone(whole)
		flipped[len(flipped)-3] ^= 1 // of the checksum
		refused(t, name+" flipped", flipped, name)
	}
}

// The holes of a sparse file are not in the archive.
func TestSparse(t *testing.T) {
	sparse := func(realSize int64) []byte {
		h := make([]byte, 512)
		copy(h, "sparse")
		copy(h[100:], "0000644\x00")
		copy(h[124:], fmt.Sprintf("%011o\x00", 512)) // bytes in the archive
		copy(h[136:], "00000000000\x00")
		h[156] = 'S'
		copy(h[257:], "ustar  \x00")
		number := func(at int, n int64) { // base-256
			h[at] = 0x80
			for i := range 8 {
				h[at+11-i] = byte(n >> (8 * i))
			}
		}
		number(386, realSize-512) // one piece of data at the end
		number(398, 512)
		number(483, realSize)
		copy(h[148:], "        ")
		sum := 0
		for _, b := range h {
			sum += int(b)
		}
		copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
		return append(append(h, bytes.Repeat([]byte{'x'}, 512)...), make([]byte, 1024)...)
	}
	a, err := open(t, sparse(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	err = a.Walk(context.Background(), nil, func(e Entry) error {
		size, err = io.Copy(io.Discard, e.Content)
		return err
	})
	if err = errors.Join(err, a.Close()); err != nil || size != 1<<20 {
		t.Errorf("a small sparse file: %d bytes, %v", size, err)
	}
	if !testing.Short() {
		refused(t, "holes of an EiB", sparse(1<<60), "sparse entry sparse", "bomb")
	}
}

// What GNU tar and others write beside plain files is read over.
func TestPAXOddities(t *testing.T) {
	var data bytes.Buffer
	w := tar.NewWriter(&data)
	long := strings.Repeat("d/", 300) + "file"
	for _, h := range []*tar.Header{
		{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "abc"}},
		{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755},
		{Typeflag: tar.TypeReg, Name: "./plain", Mode: 0o644, PAXRecords: map[string]string{"mtime": "1.5", "SCHILY.xattr.user.x": "y\x00z", "VENDOR.key": "v"}, Format: tar.FormatPAX},
		{Typeflag: tar.TypeReg, Name: long, Format: tar.FormatGNU},
		{Typeflag: tar.TypeReg, Name: long + "2", Format: tar.FormatPAX},
		{Typeflag: tar.TypeReg, Name: "größe", Format: tar.FormatPAX},
		{Typeflag: tar.TypeCont, Name: "contiguous"},
	} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	a, err := open(t, data.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	got, err := walk(a)
	if want := []string{"plain", long, long + "2", "größe", "contiguous"}; err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}

// Names and their number are bounded: they are held in memory.
func TestNameLimits(t *testing.T) {
	var data bytes.Buffer
	w := tar.NewWriter(&data)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: strings.Repeat("n", maxName+1), Format: tar.FormatPAX}); err != nil {
		t.Fatal(err)
	}
	refused(t, "long name", append(data.Bytes(), make([]byte, 1024)...), "4097 bytes", "at most 4096")

	many := names{}
	var err error
	for i := 0; err == nil && i <= maxEntries; i++ {
		_, err = many.add(Entry{Name: fmt.Sprint(i)})
	}
	if !errors.Is(err, ErrFormat) || len(many.seen) != maxEntries+1 {
		t.Errorf("%v after %d entries", err, len(many.seen))
	}
	long := names{}
	err = nil
	for i := 0; err == nil && i <= maxEntries; i++ {
		_, err = long.add(Entry{Name: fmt.Sprintf("%04000d", i)})
	}
	if !errors.Is(err, ErrFormat) || long.bytes > maxNames+4000 {
		t.Errorf("%v after %d bytes of names", err, long.bytes)
	}
}
