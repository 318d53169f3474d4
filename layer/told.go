package layer

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
)

// maxTold bounds the entries that an index tells of, and the parts of their files: each
// takes memory until all are compared, and costs who forges it nothing.
const maxTold = 2 << 20

// typeZeros is the type of a part that podman makes of nothing.
const typeZeros = "zeros"

// told is what an index says, each statement as a hash: of the entries by name,
// of which the last counts, and of the parts of files.
type told struct {
	entries map[nameKey]nameKey
	parts   map[nameKey]bool
	times   bool          // it tells, or has to, when files were accessed and changed
	split   digest.Digest // of the tar-split that belongs to it
	podman  bool          // it is read by podman, to which each offset means something
	full    bool          // podman compares it with the tar-split: all is told as the tar has it
	tocAt   int64         // where the member begins that has the index in the tar; 0 for none
	max     int           // entries, and parts

	file *tocEntry // whose parts come
	next int64     // where in the file the next begins
	last int64     // the offset in the blob that was told last
}

func newTold() *told {
	return &told{entries: map[nameKey]nameKey{}, parts: map[nameKey]bool{}, max: maxTold}
}

// decode reads the JSON entry by entry.
func (t *told) decode(text io.Reader) error {
	split, err := readIndex(context.Background(), text, func(raw []byte, _ int64) error {
		var e tocEntry
		if err := jsontext.Unmarshal(raw, &e); err != nil {
			return err
		}
		return t.entry(e)
	})
	if err != nil {
		return err
	}
	t.split = split
	return t.endFile()
}

// entry takes what comes next.
func (t *told) entry(e tocEntry) error {
	switch {
	case e.Type != typeChunk:
		if err := t.endFile(); err != nil {
			return err
		}
		t.file, t.next = &e, 0
		if t.podman && e.Offset != 0 { // where an entry ends follows from where the next begins
			if e.Offset < t.last {
				return fmt.Errorf("%q at %d is told of behind what is at %d", e.Name, e.Offset, t.last)
			}
			t.last = e.Offset
		}
		t.times = t.times || e.AccessTime != "" || e.ChangeTime != ""
	case t.file == nil || t.file.Type != typeReg:
		return errors.New("a part follows no file")
	case e.Name != "" && cleanName(e.Name) != cleanName(t.file.Name):
		return fmt.Errorf("a part of %q follows %q", e.Name, t.file.Name)
	}
	if e.Type == typeChunk || e.Type == typeReg && e.Size > 0 {
		return t.part(e)
	}
	return nil
}

// part takes a part of the current file.
func (t *told) part(e tocEntry) error {
	if e.ChunkSize == 0 {
		e.ChunkSize = t.file.Size - e.ChunkOffset
	}
	if e.ChunkOffset != t.next || e.ChunkSize <= 0 || e.ChunkSize > t.file.Size-e.ChunkOffset {
		return fmt.Errorf("expected the part at %d of the %d bytes of %q, found one of %d at %d", t.next, t.file.Size, t.file.Name, e.ChunkSize, e.ChunkOffset)
	}
	t.next += e.ChunkSize
	if e.EndOffset != 0 {
		if t.file.EndOffset != 0 && t.file.EndOffset != e.EndOffset {
			return fmt.Errorf("%q ends at %d and at %d", t.file.Name, t.file.EndOffset, e.EndOffset)
		}
		t.file.EndOffset = e.EndOffset
	}
	if e.ChunkDigest == "" && e.ChunkType != typeZeros { // of zeros old podman writes none
		e.ChunkDigest = e.Digest
	}
	t.parts[partStatement(t.file.Name, e)] = true
	return t.bound(len(t.parts), "parts of files")
}

// endFile notes the entry that is complete.
func (t *told) endFile() error {
	e := t.file
	if e == nil {
		return nil
	}
	if e.Type == typeReg && t.next < e.Size {
		return fmt.Errorf("%q has %d bytes, its parts %d", e.Name, e.Size, t.next)
	}
	t.entries[key(cleanName(e.Name))] = t.statement(*e)
	t.file = nil
	return t.bound(len(t.entries), "entries")
}

func (t *told) bound(n int, of string) error {
	if n > t.max {
		return fmt.Errorf("it tells of more than %d %s, which is more than is compared", t.max, of)
	}
	return nil
}

// statement is what an index says of an entry, a file's contents included, less what
// [told.part] notes of its parts.
func (t *told) statement(e tocEntry) nameKey {
	e.Name = cleanName(e.Name)
	data := e.Type == typeReg && e.Size > 0
	if data {
		e.Offset = 0 // of its first part
	} else {
		e.Digest = ""
	}
	if !data && !t.podman { // it means nothing, and marks where a member begins
		e.Offset, e.EndOffset = 0, 0
	}
	if e.Type == typeLink && !t.full { // the target has the attributes
		e = tocEntry{Name: e.Name, Type: e.Type, LinkName: cleanName(e.LinkName), Offset: e.Offset, EndOffset: e.EndOffset}
	}
	e.ModTime, e.AccessTime, e.ChangeTime = instant(e.ModTime), instant(e.AccessTime), instant(e.ChangeTime)
	if len(e.Xattrs) == 0 {
		e.Xattrs = nil
	}
	e.InnerOffset, e.ChunkOffset, e.ChunkSize, e.ChunkDigest, e.ChunkType = 0, 0, 0, "", ""
	return hashOf(e)
}

// instant is a time in seconds and nanoseconds; none is 1970, as eStargz writes that.
func instant(text string) string {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.IsZero() {
		return "0.0"
	}
	return fmt.Sprintf("%d.%d", at.Unix(), at.Nanosecond())
}

func partStatement(name string, e tocEntry) nameKey {
	return hashOf(tocEntry{Name: cleanName(name), Offset: e.Offset, InnerOffset: e.InnerOffset, ChunkOffset: e.ChunkOffset, ChunkSize: e.ChunkSize, ChunkDigest: e.ChunkDigest, ChunkType: e.ChunkType})
}

func hashOf(e tocEntry) nameKey {
	h := sha256.New()
	_ = json.NewEncoder(h).Encode(e) // of strings and numbers, which json always can write, to a hash
	return nameKey(h.Sum(nil))
}
