package layer

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/opencontainers/go-digest"
)

// Types of a TOC's entries that are treated apart.
const (
	typeReg   = "reg"
	typeDir   = "dir"
	typeLink  = "hardlink"
	typeChunk = "chunk"
)

// tocEntry is an entry of a table of contents (TOC), as eStargz and zstd:chunked
// have it in common (stargz-snapshotter, docs/estargz.md, "TOCEntry").
type tocEntry struct {
	Name        string            `json:"name"`
	Type        string            `json:"type"`
	LinkName    string            `json:"linkName,omitempty"`
	Mode        int64             `json:"mode,omitempty"`
	Size        int64             `json:"size,omitempty"`
	UID         int               `json:"uid,omitempty"`
	GID         int               `json:"gid,omitempty"`
	ModTime     string            `json:"modtime,omitempty"`
	AccessTime  string            `json:"accesstime,omitempty"` // of zstd:chunked alone, as the next
	ChangeTime  string            `json:"changetime,omitempty"`
	DevMajor    int64             `json:"devMajor,omitempty"`
	DevMinor    int64             `json:"devMinor,omitempty"`
	Xattrs      map[string]string `json:"xattrs,omitempty"`
	Digest      digest.Digest     `json:"digest,omitempty"` // of all data of a file
	Offset      int64             `json:"offset,omitempty"` // of the member or frame in the blob
	EndOffset   int64             `json:"endOffset,omitempty"`
	InnerOffset int64             `json:"innerOffset,omitempty"` // of the data in the inflated member
	ChunkOffset int64             `json:"chunkOffset,omitempty"` // in the file
	ChunkSize   int64             `json:"chunkSize,omitempty"`   // 0: to the end of the file
	ChunkDigest digest.Digest     `json:"chunkDigest,omitempty"`
	ChunkType   string            `json:"chunkType,omitempty"` // "zeros" where podman says so; ours has none
}

// errLongEntry is why a layer with an entry that no piece may hold has no index.
var errLongEntry = errors.New("the index would have an entry of more than 12 KiB")

const maxEntryText = 12 << 10

// maxSpare bounds the directories that wait for a member to begin.
const maxSpare = 64

// tocWriter writes the JSON of a table of contents, entry by entry, as members
// get their places in the blob.
type tocWriter struct {
	add   func(text []byte) error // takes one entry's text and what stands before it
	spare []tocEntry              // directories not yet written
	file  []tocEntry              // the parts of a file whose digest is not known yet
	count int
	text  bytes.Buffer
	json  *json.Encoder // to text
}

// member writes the entries that lie in the member, or frame, at offset. end is
// where it ends, for formats that tell, or 0.
//
// Readers learn where a member begins from the first entry with its offset and
// no innerOffset, and read up to there. In a member of small files each has an
// innerOffset, since headers come first; so a directory, for which offsets mean
// nothing, is written before them to mark the place. Where files have frames of
// their own, all is written as it comes.
func (t *tocWriter) member(parts []part, offset, end int64) error {
	marked := offset == 0
	for _, p := range parts {
		var err error
		switch p.Type {
		case typeDir:
			if end > 0 {
				err = t.write(*p.tocEntry)
				break
			}
			t.spare = append(t.spare, *p.tocEntry)
			if len(t.spare) > maxSpare {
				err = t.unspare(0)
			}
		case typeReg:
			if !marked && p.at > 0 && len(t.spare) > 0 {
				err = t.unspare(offset)
			}
			marked = true
			if err == nil {
				err = t.data(p, offset, end)
			}
		default:
			err = t.write(*p.tocEntry)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unspare writes the directory that waits longest.
func (t *tocWriter) unspare(offset int64) error {
	dir := t.spare[0]
	dir.Offset = offset
	t.spare = append(t.spare[:0], t.spare[1:]...)
	return t.write(dir)
}

// data writes a file when its last part has come.
func (t *tocWriter) data(p part, offset, end int64) error {
	e := tocEntry{Name: p.Name, Type: typeChunk}
	if p.offset == 0 {
		e = *p.tocEntry
		t.file = t.file[:0]
	}
	e.Offset, e.InnerOffset = offset, int64(p.at)
	e.ChunkOffset, e.ChunkSize, e.ChunkDigest = p.offset, int64(p.n), p.digest
	t.file = append(t.file, e)
	if p.offset+int64(p.n) < p.Size {
		return nil
	}
	first := &t.file[0]
	if len(t.file) == 1 {
		first.ChunkSize, first.Digest = 0, first.ChunkDigest
	} else {
		first.Digest = p.whole
	}
	for _, e := range t.file {
		e.EndOffset = end
		if err := t.write(e); err != nil {
			return err
		}
	}
	return nil
}

// write writes one entry.
func (t *tocWriter) write(e tocEntry) error {
	t.text.Reset()
	if t.count == 0 {
		t.text.WriteString(`{"version":1,"entries":[`)
	} else {
		t.text.WriteByte(',')
	}
	if t.json == nil {
		t.json = json.NewEncoder(&t.text)
		t.json.SetEscapeHTML(false)
	}
	if err := t.json.Encode(e); err != nil {
		return err
	}
	t.count++
	text := bytes.TrimSuffix(t.text.Bytes(), []byte("\n"))
	if len(text) > maxEntryText {
		return errLongEntry
	}
	return t.add(text)
}

// end writes what is left, and gives what ends the JSON, with more fields.
func (t *tocWriter) end(more string) ([]byte, error) {
	for len(t.spare) > 0 {
		if err := t.unspare(0); err != nil {
			return nil, err
		}
	}
	if t.count == 0 {
		return nil, errors.New("it has no entries")
	}
	return []byte("]" + more + "}"), nil
}
