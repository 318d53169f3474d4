package layer

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/opencontainers/go-digest"
)

// foreign is a layer as other programs write eStargz.
func foreign(t testing.TB, plain []byte, minChunk int) ([]byte, digest.Digest) {
	t.Helper()
	var b bytes.Buffer
	w := estargz.NewWriter(&b)
	w.MinChunkSize = minChunk
	if err := w.AppendTar(bytes.NewReader(plain)); err != nil {
		t.Fatal(err)
	}
	toc, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), toc
}

// saying is the annotation that states this index.
func saying(toc digest.Digest) map[string]string {
	return map[string]string{AnnotationTOC: toc.String()}
}

func TestVerifyIndexTakesWhatIsRight(t *testing.T) {
	if testing.Short() {
		t.Skip(slowUnderRace)
	}
	for name, plain := range map[string][]byte{"tree": tree(t), "files": many(t, 3000), "one": makeTar(t, tarFile{"a", nil})} {
		ours, r := lazily(t, plain)
		if err := VerifyIndex(bytes.NewReader(ours), int64(len(ours)), saying(r.TOCDigest())); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, minChunk := range []int{0, 100 << 10} {
			theirs, toc := foreign(t, plain, minChunk)
			if err := VerifyIndex(bytes.NewReader(theirs), int64(len(theirs)), saying(toc)); err != nil {
				t.Errorf("%s as eStargz, %d: %v", name, minChunk, err)
			}
		}
	}
}

// Each lie of an index would be what a container sees that starts lazily.
func TestVerifyIndexFindsLies(t *testing.T) {
	plain := tree(t)
	members, _ := compress(t, bytes.NewReader(plain), Options{})
	_, r := lazily(t, plain)
	toc := tocOf(t, plain)
	forge := func(change func([]tocEntry) []tocEntry) error { return verifyForged(t, members, toc, change) }
	if err := forge(func(e []tocEntry) []tocEntry { return e }); err != nil {
		t.Fatal(err)
	}
	one := func(name string, change func(e *tocEntry)) func([]tocEntry) []tocEntry {
		return func(entries []tocEntry) []tocEntry {
			for i := range entries {
				if strings.HasSuffix(entries[i].Name, name) {
					change(&entries[i])
					return entries
				}
			}
			t.Fatalf("no entry %s", name)
			return nil
		}
	}
	other := digest.FromString("other")
	for lie, change := range map[string]func([]tocEntry) []tocEntry{
		"mode":         one("bin/su", func(e *tocEntry) { e.Mode = 0o755 }),
		"owner":        one("file100", func(e *tocEntry) { e.UID = 0 }),
		"time":         one("file100", func(e *tocEntry) { e.ModTime = "2020-01-01T00:00:00Z" }),
		"link":         one("bin/soft", func(e *tocEntry) { e.LinkName = "/etc/shadow" }),
		"hard link":    one("bin/hard", func(e *tocEntry) { e.LinkName = "bin/su" }),
		"device":       one("dev/null", func(e *tocEntry) { e.DevMinor = 5 }),
		"attribute":    one("x/cap", func(e *tocEntry) { e.Xattrs = nil }),
		"type":         one("dev/pipe", func(e *tocEntry) { e.Type = "reg" }),
		"digest":       one("bin/large", func(e *tocEntry) { e.Digest = other }),
		"chunk":        one("file100", func(e *tocEntry) { e.ChunkDigest = other }),
		"offset":       one("file100", func(e *tocEntry) { e.Offset++ }),
		"inner offset": one("file100", func(e *tocEntry) { e.InnerOffset++ }),
		"size":         one("file100", func(e *tocEntry) { e.Size-- }),
		"name":         one("file100", func(e *tocEntry) { e.Name = "etc/other" }),
		"missing":      func(e []tocEntry) []tocEntry { return e[:len(e)-1] },
		"more":         func(e []tocEntry) []tocEntry { return append(e, tocEntry{Name: "more", Type: typeDir}) },
		"twice":        func(e []tocEntry) []tocEntry { return append(e, tocEntry{Name: "bin/su", Type: typeReg}) },
	} {
		if err := forge(change); !errors.Is(err, ErrIndex) {
			t.Errorf("%s: %v", lie, err)
		}
	}
	blob, _ := lazily(t, plain)
	if err := VerifyIndex(bytes.NewReader(blob), int64(len(blob)), saying(other)); !errors.Is(err, ErrIndex) || !strings.Contains(err.Error(), other.String()) {
		t.Errorf("another digest: %v", err)
	}
	for name, blob := range map[string][]byte{"none": members, "nothing": nil, "short": blob[len(blob)-footerSize:]} {
		if err := VerifyIndex(bytes.NewReader(blob), int64(len(blob)), saying(r.TOCDigest())); !errors.Is(err, ErrIndex) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// verifyForged verifies a layer of these members with an index that was changed.
func verifyForged(t *testing.T, members, toc []byte, change func(entries []tocEntry) []tocEntry) error {
	t.Helper()
	var honest struct{ Entries []tocEntry }
	if err := json.Unmarshal(toc, &honest); err != nil {
		t.Fatal(err)
	}
	p, err := newPieces()
	if err != nil {
		t.Fatal(err)
	}
	w := tocWriter{add: p.add}
	for _, e := range change(honest.Entries) {
		if err := w.write(e); err != nil {
			t.Fatal(err)
		}
	}
	pieces, d, err := p.finish([]byte("]}"))
	if err != nil {
		t.Fatal(err)
	}
	blob := bytes.Join(append(append([][]byte{members}, pieces...), footer(int64(len(members)+pieceHeader))), nil)
	return VerifyIndex(bytes.NewReader(blob), int64(len(blob)), saying(d))
}

// tocOf is the JSON of a layer's index.
func tocOf(t testing.TB, plain []byte) []byte {
	t.Helper()
	blob, _ := lazily(t, plain)
	offset, size, err := estargz.OpenFooter(io.NewSectionReader(bytes.NewReader(blob), 0, int64(len(blob))))
	if err != nil {
		t.Fatal(err)
	}
	r, err := new(estargz.GzipDecompressor).DecompressTOC(bytes.NewReader(blob[offset : int64(len(blob))-size]))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// malformedPax is a tar whose extended header states no size that can be.
func malformedPax(t testing.TB) []byte {
	plain := makeTar(t, tarFile{"a", nil})
	h := (*[blockSize]byte)(plain)
	h[156] = 'x'
	copy(h[124:], "\xff")
	setChecksum(h)
	if !validHeader(h) || entrySize(h) >= 0 {
		t.Fatal("the header is another")
	}
	return plain
}

func setChecksum(h *[blockSize]byte) {
	copy(h[148:], "        ")
	sum := 0
	for _, b := range h {
		sum += int(b)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
}

// A tar may come from anyone, and must not end the program.
func TestMalformedPaxHeaderIsKept(t *testing.T) {
	in := malformedPax(t)
	out, _ := compress(t, bytes.NewReader(in), lazy)
	z, err := gzip.NewReader(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, in) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(in))
	}
}

// FuzzIndex gives layers of any bytes to the index's writer: either there is no
// index, or the reader of stargz-snapshotter opens it and it is right.
func FuzzIndex(f *testing.F) {
	f.Add(makeTar(f, tarFile{"a", text(1, 50<<10)}, tarFile{"b/c", nil}))
	f.Add(tree(f)[:8*blockSize])
	f.Add(malformedPax(f))
	f.Add(tarOf(f, func(add func(h tar.Header, data []byte)) {
		add(tar.Header{Name: "ü/x", PAXRecords: map[string]string{xattrPrefix + "user.a": "v"}}, []byte("x"))
	}))
	f.Fuzz(func(t *testing.T, in []byte) {
		blob, c := compress(t, bytes.NewReader(in), lazy)
		if c.Index().Missing != nil {
			return
		}
		r, err := estargz.Open(io.NewSectionReader(bytes.NewReader(blob), 0, int64(len(blob))))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Index().Annotations()[AnnotationTOC]; got != r.TOCDigest().String() {
			t.Fatalf("digest %s, want %s", r.TOCDigest(), got)
		}
		sameTree(t, in, r)
		if err := VerifyIndex(bytes.NewReader(blob), int64(len(blob)), saying(r.TOCDigest())); err != nil {
			t.Error(err)
		}
	})
}

func FuzzVerifyIndex(f *testing.F) {
	blob, _ := lazily(f, makeTar(f, tarFile{"a", text(1, 50<<10)}, tarFile{"b/c", nil}))
	f.Add(blob)
	f.Fuzz(func(t *testing.T, blob []byte) {
		if err := VerifyIndex(bytes.NewReader(blob), int64(len(blob)), saying(digest.FromString("other"))); !errors.Is(err, ErrIndex) {
			t.Errorf("%v is none of the promised errors", err)
		}
	})
}
