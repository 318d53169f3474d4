package layer

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
)

// repeated reads as one text again and again, and counts what was read.
type repeated struct {
	text string
	at   int
	read int64
}

func (r *repeated) Read(p []byte) (n int, err error) {
	n = copy(p, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	r.read += int64(n)
	return n, nil
}

// An index is somebody else's: it costs no more memory than a large image's, however short
// or long its entries are.
func TestForgedIndex(t *testing.T) {
	for name, text := range map[string]string{
		"parts":      `{"type":"chunk"},`,
		"files":      `{},`,
		"long names": `{"type":"reg","size":1,"name":"` + strings.Repeat("n", 8000) + `"},{"type":"chunk","chunkSize":1},`,
		"names":      `{"type":"reg","name":"` + strings.Repeat("n", 4000) + `"},`,
		"attributes": `{"type":"reg","name":"a","xattrs":{"a":"` + strings.Repeat("x", 200_000) + `"}},`,
		"one entry":  strings.Repeat(" ", 10_000),
	} {
		t.Run(name, func(t *testing.T) {
			endless := &repeated{text: text}
			l := &Listing{Indexed: true}
			text := io.MultiReader(strings.NewReader(`{"version":1,"entries":[{"type":"reg","name":"first","size":9},`), io.LimitReader(endless, 200<<20))
			if err := l.decode(t.Context(), text); err != nil || !l.Cut {
				t.Errorf("cut: %t, %v", l.Cut, err)
			}
			parts, names := 0, 0
			for _, f := range l.Files {
				parts += len(f.parts)
				names += len(f.Name) + len(f.Link) + len(f.Kind)
			}
			if len(l.Files) > maxListed || parts > maxListedParts+maxListed || names > maxListedText || endless.read > 2*maxBrowsedText {
				t.Errorf("%d files, %d parts, %d bytes of names; %d bytes of the index were read", len(l.Files), parts, names, endless.read)
			}
			if f, ok := l.Find("first"); !ok || name == "long names" && len(f.parts) != 1 {
				t.Errorf("the first file has %d parts, there %t: those of a file that is not listed are no other's", len(f.parts), ok)
			}
			if name == "one entry" && endless.read > 2*maxEntryRead {
				t.Errorf("%d bytes were read for one entry", endless.read)
			}
		})
	}
	cut := &Listing{}
	if err := cut.decode(t.Context(), strings.NewReader(`{"entries":[{"name":"a"}`)); err == nil {
		t.Error("an index that is cut off is taken for a whole one")
	}
}

// What is listed of a tar takes the memory of its names, and not of the headers around them.
func TestListTakesLittle(t *testing.T) {
	data := tarOf(t, func(add func(tar.Header, []byte)) {
		for i := range 40 {
			add(tar.Header{Name: fmt.Sprint("a", i), Typeflag: tar.TypeSymlink, Linkname: fmt.Sprintf("%d-%0200d", i, i), Format: tar.FormatPAX,
				PAXRecords: map[string]string{"T.comment": strings.Repeat("c", 900<<10)}}, nil)
		}
		add(tar.Header{Name: "long", Typeflag: tar.TypeSymlink, Linkname: strings.Repeat("l", 9000)}, nil)
		add(tar.Header{Name: "last"}, nil)
	})
	before := heap()
	l, err := List(t.Context(), bytes.NewReader(data), int64(len(data)), nil)
	if err != nil || len(l.Files) != 41 || !l.Cut || l.Files[40].Name != "last" {
		t.Fatalf("%d files, cut %t, %v", len(l.Files), l.Cut, err)
	}
	if grown := heap() - before; grown > 8<<20 {
		t.Errorf("41 files take %d bytes", grown)
	}
	runtime.KeepAlive(l)
	runtime.KeepAlive(data)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Parts that lie far inside members cannot have a layer inflated for hours.
func TestContentTakesLittle(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(make([]byte, 61<<20))
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	f := File{Name: "a", Kind: typeReg, Size: 6}
	for i := range f.Size {
		f.parts = append(f.parts, place{inner: 60 << 20, at: i, size: 1})
	}
	l := &Listing{Indexed: true, Files: []File{f}}
	if _, err := l.Content(t.Context(), bytes.NewReader(b.Bytes()), "a", 6); !errors.Is(err, ErrMalformed) {
		t.Errorf("six parts of a byte, each behind 60 MiB: %v", err)
	}
	if data, err := l.Content(t.Context(), bytes.NewReader(b.Bytes()), "a", 2); err != nil || len(data) != 2 {
		t.Errorf("two of them: %d bytes, %v", len(data), err)
	}
}

// ending ends a context with the first read, or fails.
type ending struct {
	io.ReadSeeker
	end  func()
	fail error
}

func (e *ending) Read(p []byte) (int, error) {
	if e.end(); e.fail != nil {
		return 0, e.fail
	}
	return e.ReadSeeker.Read(p[:min(len(p), 100)])
}

// Who no longer waits has nothing read for them, and what could not be read is not what is
// malformed.
func TestListEnds(t *testing.T) {
	plain := tarOf(t, func(add func(tar.Header, []byte)) {
		add(tar.Header{Name: "a"}, bytes.Repeat([]byte("a"), 5000))
	})
	lazy, c := compress(t, bytes.NewReader(plain), Options{Compression: Gzip, Lazy: true})
	broken := errors.New("broken")
	for name, blob := range map[string][]byte{"plain": plain, "lazy": lazy} {
		l, err := List(t.Context(), bytes.NewReader(blob), int64(len(blob)), c.Index().Annotations())
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []error{context.Canceled, broken} {
			ctx, cancel := context.WithCancel(t.Context())
			in := &ending{ReadSeeker: bytes.NewReader(blob), end: cancel}
			if want == broken {
				in.end, in.fail = func() {}, broken
			}
			if _, err := l.Content(ctx, in, "a", 5000); !errors.Is(err, want) || errors.Is(err, ErrMalformed) {
				t.Errorf("%s: the content: %v, want %v", name, err, want)
			}
			if want == context.Canceled {
				ctx, in.end = context.WithCancel(t.Context())
			}
			if _, err := List(ctx, in, int64(len(blob)), nil); !errors.Is(err, want) || errors.Is(err, ErrMalformed) {
				t.Errorf("%s: the list: %v, want %v", name, err, want)
			}
			cancel()
			in.end()
		}
	}
}

// Of two files of a name the last counts, in what is listed and in what is read.
func TestContentOfTheLast(t *testing.T) {
	plain := tarOf(t, func(add func(tar.Header, []byte)) {
		add(tar.Header{Name: "a"}, []byte("first"))
		add(tar.Header{Name: "b"}, []byte("other"))
		add(tar.Header{Name: "./a"}, []byte("last!!"))
	})
	l, err := List(t.Context(), bytes.NewReader(plain), int64(len(plain)), nil)
	if err != nil {
		t.Fatal(err)
	}
	f, _ := l.Find("a")
	if data, err := l.Content(t.Context(), bytes.NewReader(plain), "a", 100); err != nil || string(data) != "last!!" || f.Size != 6 {
		t.Errorf("%q, %v, listed with %d bytes", data, err, f.Size)
	}
	file := func(text string) File {
		return File{Name: "a", Kind: typeReg, Size: int64(len(text)), parts: []place{{offset: int64(bytes.Index(plain, []byte(text)))}}}
	}
	indexed := &Listing{Indexed: true, Files: []File{file("first"), file("last!!")}}
	if data, err := indexed.Content(t.Context(), bytes.NewReader(plain), "a", 100); err != nil || string(data) != "last!!" {
		t.Errorf("by an index: %q, %v", data, err)
	}
}
