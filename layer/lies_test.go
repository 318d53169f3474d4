package layer

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

// asEStargz makes a layer of members and any JSON as index, as estargz does.
func asEStargz(t testing.TB, members []byte, toc string) ([]byte, map[string]string) {
	t.Helper()
	var b bytes.Buffer
	b.Write(members)
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	err := w.WriteHeader(&tar.Header{Name: tocName, Typeflag: tar.TypeReg, Size: int64(len(toc))})
	if err == nil {
		_, err = io.WriteString(w, toc)
	}
	if err := errors.Join(err, w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	b.Write(footer(int64(len(members))))
	return b.Bytes(), saying(digest.FromString(toc))
}

// chunkedOf makes a zstd:chunked layer of frames, any JSON, any tar-split (none without)
// and what lies behind; podman and stargz are the annotations for these.
func chunkedOf(t testing.TB, frames []byte, toc string, split, behind []byte) (blob []byte, podman, stargz map[string]string) {
	t.Helper()
	text, rest := zstdOf(t, []byte(toc)), zstdOf(t, split)
	at := positions{toc: uint64(len(frames) + skippableHeader), tocSize: uint64(len(text)), tocRaw: uint64(len(toc)), splitSize: uint64(len(rest)), splitRaw: uint64(len(split))}
	podman = Index{toc: "x", checksum: digest.FromBytes(text), at: at}.Chunked()
	if split == nil {
		delete(podman, annotationChunkedTarSplit)
	}
	return bytes.Join([][]byte{frames, skippable(text), skippable(rest), behind, skippable(at.footer())}, nil), podman, saying(digest.FromString(toc))
}

func zstdOf(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

// disguised are the JSON of indices: of some, readers take other entries than others do.
// honest tells of the layer, lie of another.
func disguised(honest, lie string) (right, wrong map[string]string) {
	first, rest, _ := strings.Cut(strings.TrimPrefix(honest, "["), ",")
	return map[string]string{
			"plain":          `{"version":1,"entries":` + honest + `}`,
			"fields before":  `{"x":{"entries":` + lie + `},"y":["entries",` + lie + `],"entries":` + honest + `}`,
			"fields behind":  `{"entries":` + honest + `,"x":[[{"entries":` + lie + `}],"entries"],"y":"entries","z":null}` + "\n",
			"null and fewer": `{"version":null,"entries":` + honest + `,"Entry":1}`,
		}, map[string]string{
			"a lie":             `{"version":1,"entries":` + lie + `}`,
			"in an array":       `{"version":1,"x":["entries",` + honest + `],"entries":` + lie + `}`,
			"in an object":      `{"x":{"entries":` + honest + `},"entries":` + lie + `}`,
			"as a value":        `{"x":"entries","y":` + honest + `,"entries":` + lie + `}`,
			"twice":             `{"entries":` + honest + `,"entries":` + lie + `}`,
			"null behind":       `{"entries":` + honest + `,"entries":null}`,
			"in capitals":       `{"entries":` + honest + `,"ENTRIES":` + lie + `}`,
			"in capitals alone": `{"ENTRIES":` + honest + `}`,
			"with another s":    `{"entries":` + honest + `,"entrieſ":` + lie + `}`,
			"escaped":           `{"entries":` + honest + `,"\u0065ntries":` + lie + `}`,
			"no array":          `{"entries":{"name":"bin"}}`,
			"a string":          `{"entries":"` + "x" + `"}`,
			"none":              `{"version":1}`,
			"null":              `{"entries":null}`,
			"no object":         honest,
			"another behind":    `{"entries":` + honest + `}{"entries":` + lie + `}`,
			"split twice":       `{"entries":` + honest + `,"tarSplitDigest":"a","tarsplitdigest":"b"}`,
			"a field twice":     `{"entries":[` + first + `,"Mode":2541,` + rest + `}`,
			"a field that is s": `{"entries":[` + first + `,"ſize":9,` + rest + `}`,
			"no name":           `{"entries":[` + first + `,"":9,` + rest + `}`,
			"no text":           `{"entries":[` + first + ",\"x\":\"\xff\"," + rest + `}`,
			"deep":              `{"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `,"entries":` + honest + `}`,
		}
}

// honestAndLie are a small layer and the entries of its index by o; those of lie give
// bin/login the content and the rights of another file.
func honestAndLie(t *testing.T, o Options) (members []byte, honest, lie string) {
	t.Helper()
	plain := withParents(t, makeTar(t, tarFile{"bin/", nil}, tarFile{"bin/login", text(1, 900)}, tarFile{"bin/evil1", text(2, 900)}))
	var toc []byte
	if o.Compression == Chunked {
		blob, _, index := inChunks(t, plain)
		members, toc = blob[:index.at.toc-skippableHeader], plainOf(t, blob[index.at.toc:][:index.at.tocSize])
	} else {
		members, _ = compress(t, bytes.NewReader(plain), Options{})
		toc = tocOf(t, plain)
	}
	var doc struct{ Entries json.RawMessage }
	if err := json.Unmarshal(toc, &doc); err != nil {
		t.Fatal(err)
	}
	honest = string(doc.Entries)
	lie = strings.NewReplacer("bin/login", "bin/evil1", "bin/evil1", "bin/login", `"mode":420`, `"mode":2541`).Replace(honest)
	return members, honest, lie
}

// What is verified is what each reader of an index sees, and the page as well.
func TestVerifyIndexSeesNoDecoy(t *testing.T) {
	for _, o := range []Options{lazy, chunked} {
		members, honest, lie := honestAndLie(t, o)
		verify := func(toc string) (verified error, indexed bool) {
			blob, a := asEStargz(t, members, toc)
			if o.Compression == Chunked {
				blob, a, _ = chunkedOf(t, members, toc, nil, nil)
			}
			l, err := List(t.Context(), bytes.NewReader(blob), int64(len(blob)), a)
			if err != nil {
				t.Fatal(err)
			}
			return VerifyIndex(bytes.NewReader(blob), int64(len(blob)), a), l.Indexed
		}
		right, wrong := disguised(honest, lie)
		for name, toc := range right {
			if err, indexed := verify(toc); err != nil || !indexed {
				t.Errorf("%s, %s: %v, listed by it %t", o.Compression, name, err, indexed)
			}
		}
		for name, toc := range wrong {
			err, indexed := verify(toc)
			shown := name == "a lie" || strings.HasPrefix(name, "in an ") || name == "as a value" || name == "null"
			if !errors.Is(err, ErrIndex) || indexed != shown {
				t.Errorf("%s, %s: %v, listed by it %t", o.Compression, name, err, indexed)
			}
		}
	}
}

// Each annotation by which some reader looks for an index has it compared or refused,
// whatever the layer begins with.
func TestVerifyIndexOfEachAnnotation(t *testing.T) {
	frames, honest, lie := honestAndLie(t, chunked)
	old := func(a map[string]string) map[string]string {
		b := map[string]string{}
		for name, value := range a {
			b[strings.Replace(name, "io.github.containers.", "io.containers.", 1)] = value
		}
		return b
	}
	right, podman, stargz := chunkedOf(t, frames, `{"entries":`+honest+`}`, nil, nil)
	wrong, podmans, stargzs := chunkedOf(t, frames, `{"entries":`+lie+`}`, nil, nil)
	both := old(podman)
	for name, value := range podman {
		both[name] = value
	}
	for _, a := range []map[string]string{podman, stargz, old(podman), both, {}, {"other": "x"}} {
		if err := VerifyIndex(bytes.NewReader(right), int64(len(right)), a); err != nil {
			t.Errorf("%v: %v", a, err)
		}
	}
	mixed := old(podmans)
	for name, value := range podman {
		mixed[name] = value
	}
	for _, a := range []map[string]string{podmans, stargzs, old(podmans), mixed, saying(""), {AnnotationChunkedTOC: ""}, {AnnotationTOC: "sha256:x"}} {
		if err := VerifyIndex(bytes.NewReader(wrong), int64(len(wrong)), a); !errors.Is(err, ErrIndex) || !HasIndex(a) {
			t.Errorf("%v: %v", a, err)
		}
	}
	gzipped, _, _ := honestAndLie(t, lazy)
	for name, members := range map[string][]byte{"gzip": gzipped, "plain": plainOf(t, frames)} {
		blob, podman, stargz := chunkedOf(t, members, `{"entries":`+honest+`}`, nil, nil)
		for _, a := range []map[string]string{podman, stargz, old(podman)} {
			if err := VerifyIndex(bytes.NewReader(blob), int64(len(blob)), a); !errors.Is(err, ErrIndex) {
				t.Errorf("%s, %v: %v", name, a, err)
			}
		}
	}
}

// Who pulls a layer as a whole gets what lies in frames behind the index, too.
func TestVerifyChunkedReadsToTheEnd(t *testing.T) {
	frames, honest, _ := honestAndLie(t, chunked)
	for name, c := range map[string]struct {
		behind []byte
		right  bool
	}{
		"nothing": {nil, true}, "a skipped frame": {skippable([]byte("x")), true},
		"an entry": {zstdOf(t, makeTar(t, tarFile{"backdoor", []byte("x")})), false}, "an empty frame": {zstdOf(t, nil), false},
		"no frame": {[]byte("12345678"), false}, "a frame too long": {skippable(make([]byte, 100))[:50], false},
	} {
		blob, podman, stargz := chunkedOf(t, frames, `{"entries":`+honest+`}`, nil, c.behind)
		for _, a := range []map[string]string{podman, stargz} {
			if err := VerifyIndex(bytes.NewReader(blob), int64(len(blob)), a); c.right != (err == nil) || !c.right && !errors.Is(err, ErrIndex) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// An index of a few KiB cannot take the machine's memory.
func TestVerifyIndexTakesLittle(t *testing.T) {
	frames, honest, _ := honestAndLie(t, chunked)
	endless := func(text string, n int) string { return strings.Repeat(text, n/len(text)) }
	verify := func(name, toc string, split []byte) {
		blob, podman, _ := chunkedOf(t, frames, toc, split, nil)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := VerifyIndex(bytes.NewReader(blob), int64(len(blob)), podman)
		runtime.ReadMemStats(&after)
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 110<<20 {
			t.Errorf("%s: %d MiB were allocated, %v", name, allocated>>20, err)
		}
		if !errors.Is(err, ErrIndex) {
			t.Errorf("%s: %v", name, err)
		}
	}
	verify("a long field", `{"x":"`+endless("a", 24<<20)+`","entries":[]}`, nil)
	verify("a long entry", `{"entries":[{"name":"`+endless("a", 24<<20)+`"}]}`, nil)
	verify("deep", `{"x":`+endless("[", 16<<20), nil)
	verify("zeros", `{"entries":[{"name":"a","type":"reg","size":9999999999,"chunkSize":60000000,"chunkType":"zeros"}`+endless(`,{"type":"chunk","chunkSize":1,"chunkType":"zeros"}`, 1<<20)+`]}`, nil)
	split := []byte(`{"type":2,"payload":"` + endless("A", 48<<20) + `","position":0}`)
	verify("a long segment", `{"entries":`+honest+`,"tarSplitDigest":"`+digest.FromBytes(zstdOf(t, split)).String()+`"}`, split)
	told := newTold()
	told.max = 10
	if err := told.decode(strings.NewReader(`{"entries":[{"name":"0"}` + manyEntries(12) + `]}`)); err == nil || !strings.Contains(err.Error(), "more than 10 entries") {
		t.Errorf("more entries than are compared: %v", err)
	}
	told = newTold()
	told.max = 10
	parts := strings.Repeat(`,{"type":"chunk","chunkOffset":%d,"chunkSize":1}`, 11)
	if err := told.decode(strings.NewReader(fmt.Sprintf(`{"entries":[{"type":"reg","size":12,"chunkSize":1}`+parts+`]}`, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11))); err == nil || !strings.Contains(err.Error(), "more than 10 parts") {
		t.Errorf("more parts than are compared: %v", err)
	}
}

func manyEntries(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,{"name":"%d"}`, i+1)
	}
	return b.String()
}
