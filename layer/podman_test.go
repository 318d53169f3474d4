package layer

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

// changed gives what verify says of a layer by podman's annotations and by stargz's, with
// an index that change has changed.
func changed(t *testing.T) func(change func(e []tocEntry) []tocEntry) (podman, stargz error) {
	t.Helper()
	plain := entries(t, tar.Header{Name: "d/empty"}, tar.Header{Name: "d/hard", Typeflag: tar.TypeLink, Linkname: "d/empty"})
	more := makeTar(t, tarFile{"large", noise(1, 2*maxSegment+5)}, tarFile{"zeros", make([]byte, 5000)}, tarFile{"small", text(1, 900)})
	plain = append(plain[:len(plain)-2*blockSize], more...)
	blob, _, index := inChunks(t, plain)
	frames := blob[:index.at.toc-skippableHeader]
	split, toc := plainOf(t, blob[index.at.split():][:index.at.splitSize]), plainOf(t, blob[index.at.toc:][:index.at.tocSize])
	return func(change func(e []tocEntry) []tocEntry) (podman, stargz error) {
		t.Helper()
		var doc struct{ Entries []tocEntry }
		if err := json.Unmarshal(toc, &doc); err != nil {
			t.Fatal(err)
		}
		list, err := json.Marshal(change(doc.Entries))
		if err != nil {
			t.Fatal(err)
		}
		blob, says := forgeChunked(t, frames, split, append(append([]byte(`{"version":1,"entries":`), list...), `,"tarSplitDigest":""}`...))
		of := func(a map[string]string) error { return VerifyIndex(bytes.NewReader(blob), int64(len(blob)), a) }
		return of(says.Chunked()), of(says.Annotations())
	}
}

func entryOf(e []tocEntry, name, kind string) *tocEntry {
	return &e[slices.IndexFunc(e, func(e tocEntry) bool { return e.Name == name && e.Type == kind })]
}

// one changes the first entry of a name.
func one(name string, change func(e *tocEntry)) func([]tocEntry) []tocEntry {
	return func(e []tocEntry) []tocEntry {
		kind := typeReg
		if strings.HasSuffix(name, "/") {
			kind = typeDir
		} else if strings.HasSuffix(name, "hard") {
			kind = typeLink
		}
		change(entryOf(e, name, kind))
		return e
	}
}

// What says the same otherwise, or nothing that podman needs, is no fault.
func TestVerifyChunkedTakesWhatPodmanDoes(t *testing.T) {
	verify := changed(t)
	for name, change := range map[string]func([]tocEntry) []tocEntry{
		"as it is": func(e []tocEntry) []tocEntry { return e },
		"ends that podman finds itself": func(e []tocEntry) []tocEntry {
			for i := range e {
				e[i].EndOffset = 0
			}
			return e
		},
		"zeros":                one("zeros", func(e *tocEntry) { e.ChunkType = typeZeros }),
		"zeros without digest": one("zeros", func(e *tocEntry) { e.ChunkType, e.ChunkDigest = typeZeros, "" }),
	} {
		if podman, stargz := verify(change); podman != nil || stargz != nil {
			t.Errorf("%s: %v, %v", name, podman, stargz)
		}
	}
}

// By what podman fails, file by file, where it pulls the layer as a whole, verify tells.
func TestVerifyChunkedComparesWhatPodmanDoes(t *testing.T) {
	verify := changed(t)
	for name, change := range map[string]func([]tocEntry) []tocEntry{
		"nanoseconds":       one("d/empty", func(e *tocEntry) { e.ModTime = "2023-11-14T22:13:20.124Z" }),
		"rounded":           one("d/empty", func(e *tocEntry) { e.ModTime = "2023-11-14T22:13:20Z" }),
		"an access time":    one("d/empty", func(e *tocEntry) { e.AccessTime = "2023-11-14T22:13:20Z" }),
		"an end":            one("small", func(e *tocEntry) { e.EndOffset-- }),
		"the end of parts":  one("large", func(e *tocEntry) { e.EndOffset++ }),
		"zeros that are no": one("small", func(e *tocEntry) { e.ChunkType = typeZeros }),
		"another type":      one("small", func(e *tocEntry) { e.ChunkType = "other" }),
		"a link's rights":   one("d/hard", func(e *tocEntry) { e.Mode = 0o4755 }),
		"a link's owner":    one("d/hard", func(e *tocEntry) { e.UID = 7 }),
		"a place of a dir":  one("d/", func(e *tocEntry) { e.Offset = 1 }),
		"order of parts": func(e []tocEntry) []tocEntry {
			i := slices.IndexFunc(e, func(e tocEntry) bool { return e.Type == typeChunk })
			e[i], e[i+1] = e[i+1], e[i]
			return e
		},
		"order of files": func(e []tocEntry) []tocEntry {
			small := *entryOf(e, "small", typeReg)
			return append([]tocEntry{small}, slices.DeleteFunc(e, func(e tocEntry) bool { return e.Name == "small" })...)
		},
		"a part of another": func(e []tocEntry) []tocEntry {
			entryOf(e, "large", typeChunk).Name = "small"
			return e
		},
	} {
		if podman, _ := verify(change); !errors.Is(podman, ErrIndex) {
			t.Errorf("%s: %v", name, podman)
		}
	}
}

// podman writes null for the entries of a layer that has none.
func TestVerifyChunkedOfAnEmptyLayer(t *testing.T) {
	for _, list := range []string{"null", "[]"} {
		blob, podman, stargz := chunkedOf(t, zstdOf(t, make([]byte, 2*blockSize)), `{"version":1,"entries":`+list+`}`, nil, nil)
		if err := VerifyIndex(bytes.NewReader(blob), int64(len(blob)), podman, stargz); err != nil {
			t.Errorf("%s: %v", list, err)
		}
	}
}
