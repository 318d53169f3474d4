package layer

import (
	stdtar "archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/vbatts/tar-split/archive/tar"
	"github.com/vbatts/tar-split/tar/asm"
	"github.com/vbatts/tar-split/tar/storage"
)

// tarSplit takes a tar apart as podman does (github.com/vbatts/tar-split): into
// all that is not the data of a file. Together with the files that makes the tar
// again, whose digest an engine that fetched single files can then tell.
type tarSplit struct {
	in   *io.PipeWriter
	done chan error
}

// newTarSplit gives what it finds to packer. It has to be ended.
func newTarSplit(packer storage.Packer) *tarSplit {
	r, w := io.Pipe()
	t := &tarSplit{in: w, done: make(chan error, 1)}
	go func() {
		err := splitTar(r, packer)
		r.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // Write has nothing to wait for any more
		t.done <- err
	}()
	return t
}

func splitTar(r io.Reader, packer storage.Packer) error {
	same, done, err := asm.NewInputTarStreamWithDone(r, packer, nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, same)
	return errors.Join(err, same.Close(), <-done)
}

// Write takes what comes next of the tar; whatever is wrong with it, end tells.
func (t *tarSplit) Write(p []byte) (int, error) {
	if _, err := t.in.Write(p); err != nil {
		return len(p), nil //nolint:nilerr // end tells
	}
	return len(p), nil
}

// end waits until all is taken apart. Called a second time it tells nothing.
func (t *tarSplit) end() error {
	if t.in == nil {
		return nil
	}
	err := errors.Join(t.in.Close(), <-t.done)
	t.in = nil
	if errors.Is(err, storage.ErrDuplicatePath) {
		return errors.New("a name is there twice, which tar-split does not know")
	}
	return err
}

// headerHash is the hash of all entries of a tar in their order, as archive/tar,
// or tar-split's copy of it, reads them.
type headerHash struct{ hash.Hash }

func newHeaderHash() headerHash { return headerHash{sha256.New()} }

func (h headerHash) add(e tocEntry) { _ = json.NewEncoder(h).Encode(e) } // of strings and numbers, to a hash

// headersOf reads the entries from what a tar-split has of a tar.
func headersOf(text io.Reader) (headerHash, error) {
	h := newHeaderHash()
	err := asm.IterateHeaders(storage.NewJSONUnpacker(text), func(found *tar.Header) error {
		e, err := newTOCEntry(&stdtar.Header{
			Typeflag: found.Typeflag, Name: found.Name, Linkname: found.Linkname, Size: found.Size, Mode: found.Mode, Uid: found.Uid, Gid: found.Gid,
			ModTime: found.ModTime, AccessTime: found.AccessTime, ChangeTime: found.ChangeTime,
			Devmajor: found.Devmajor, Devminor: found.Devminor, PAXRecords: found.PAXRecords,
		}, true)
		h.add(e)
		return err
	})
	if err != nil {
		return h, fmt.Errorf("tar-split: %w", err)
	}
	return h, nil
}

// sameSplit hashes what a tar-split says, however its segments are cut.
type sameSplit struct {
	hash.Hash
	segment hash.Hash
	length  uint64
}

func newSameSplit() *sameSplit { return &sameSplit{Hash: sha256.New(), segment: sha256.New()} }

// AddEntry implements [storage.Packer].
func (s *sameSplit) AddEntry(e storage.Entry) (int, error) {
	if e.Type == storage.SegmentType {
		s.segment.Write(e.Payload)
		s.length += uint64(len(e.Payload))
		return 0, nil
	}
	s.close()
	if e.Size > 0 || len(e.Payload) > 0 { // a file without data is in its header
		_ = json.NewEncoder(s.Hash).Encode([][]byte{e.GetNameBytes(), e.Payload, binary.BigEndian.AppendUint64(nil, uint64(e.Size))})
	}
	return 0, nil
}

// close ends a segment.
func (s *sameSplit) close() {
	s.Hash.Write(binary.BigEndian.AppendUint64(s.segment.Sum(nil), s.length))
	s.segment.Reset()
	s.length = 0
}

// equal compares with another when both have all entries.
func (s *sameSplit) equal(other *sameSplit) bool {
	s.close()
	other.close()
	return bytes.Equal(s.Sum(nil), other.Sum(nil))
}
