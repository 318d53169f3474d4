package layer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/vbatts/tar-split/tar/storage"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
)

// verifyChunked compares each index that a descriptor of a zstd layer states.
func verifyChunked(blob io.ReadSeeker, size int64, annotations []map[string]string) error {
	checked := map[stated]bool{}
	for _, a := range annotations {
		all, err := statedBy(blob, size, a)
		if err != nil {
			return err
		}
		for _, want := range all {
			if checked[want] {
				continue
			}
			checked[want] = true
			if err := want.verify(blob, size); err != nil {
				return err
			}
		}
	}
	return nil
}

// stated is what a descriptor says of an index of its layer to one reader.
type stated struct {
	positions
	splitAt  uint64        // of the tar-split; 0 without one
	toc      digest.Digest // of the JSON, where it says that
	checksum digest.Digest // of the compressed JSON, where it says that
}

// statedBy reads the annotations of a descriptor. Those of podman, under the prefix of
// today and that before, say where the parts lie; for stargz-snapshotter the footer does.
func statedBy(blob io.ReadSeeker, size int64, a map[string]string) (all []stated, err error) {
	for _, prefix := range chunkedPrefixes {
		checksum, found := a[prefix+chunkedTOC]
		if !found {
			continue
		}
		s := stated{checksum: digest.Digest(checksum)}
		kind := uint64(0)
		if _, err := fmt.Sscanf(a[prefix+chunkedAt], "%d:%d:%d:%d", &s.positions.toc, &s.tocSize, &s.tocRaw, &kind); err != nil || kind != chunkedType {
			return nil, fmt.Errorf("%w: annotation %s is %q, which names no place of type %d", ErrIndex, prefix+chunkedAt, a[prefix+chunkedAt], chunkedType)
		}
		if at := a[prefix+chunkedTarSplit]; at != "" {
			if _, err := fmt.Sscanf(at, "%d:%d:%d", &s.splitAt, &s.splitSize, &s.splitRaw); err != nil {
				return nil, fmt.Errorf("%w: annotation %s is %q, which names no place", ErrIndex, prefix+chunkedTarSplit, at)
			}
		}
		all = append(all, s)
	}
	if toc, found := a[AnnotationTOC]; found {
		s := stated{toc: digest.Digest(toc)}
		if s.positions, err = readChunkedFooter(blob, size); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	for _, s := range all {
		if err := s.check(size); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// check tells whether the parts lie in a layer of this size, and can be read.
func (s stated) check(size int64) error {
	for _, part := range [][2]uint64{{s.positions.toc, s.tocSize}, {s.splitAt, s.splitSize}} {
		if part[0] > uint64(size) || part[1] > uint64(size)-part[0] {
			return fmt.Errorf("%w: %d bytes at %d of a layer of %d bytes", ErrIndex, part[1], part[0], size)
		}
	}
	if s.positions.toc < skippableHeader {
		return fmt.Errorf("%w: no frame ends at %d", ErrIndex, s.positions.toc)
	}
	if s.tocSize > maxIndex || s.splitSize > maxIndex {
		return fmt.Errorf("%w: it has more than %d MiB", ErrIndex, maxIndex>>20)
	}
	if s.tocRaw > maxIndexText || s.splitRaw > maxIndexText {
		return fmt.Errorf("%w: it has more than %d MiB inflated", ErrIndex, maxIndexText>>20)
	}
	return nil
}

func (s stated) verify(blob io.ReadSeeker, size int64) error {
	if err := s.onlySkipped(blob, size); err != nil {
		return err
	}
	told := newTold()
	told.podman, told.full = s.checksum != "", s.splitAt > 0
	told.times = told.full
	if err := s.readTOC(blob, told); err != nil {
		return err
	}
	var split *sameSplit
	if s.splitAt > 0 {
		var err error
		if split, err = s.readSplit(blob, told.split); err != nil {
			return err
		}
	} else if told.split != "" && s.checksum != "" {
		return fmt.Errorf("%w: no annotation tells where the tar-split is", ErrIndex)
	}
	if _, err := blob.Seek(0, io.SeekStart); err != nil {
		return err
	}
	frames, err := newZstdFrames(io.LimitReader(blob, int64(s.positions.toc)-skippableHeader))
	if err != nil {
		return err
	}
	defer frames.zstd.Close()
	if split == nil {
		return told.compare(frames, nil)
	}
	found := newSameSplit()
	again := newTarSplit(found)
	if err := errors.Join(told.compare(frames, again), again.end()); err != nil {
		return err
	}
	if !found.equal(split) {
		return fmt.Errorf("%w: its tar-split is that of another tar", ErrIndex)
	}
	return nil
}

// readTOC reads the table of contents.
func (s stated) readTOC(blob io.ReadSeeker, told *told) error {
	text, err := inflated(blob, s.positions.toc, s.tocSize, s.checksum)
	if err != nil {
		return err
	}
	defer text.Close()
	hash := digest.Canonical.Digester()
	counted := &limited{r: io.TeeReader(text, hash.Hash()), left: int64(s.tocRaw)}
	if err := told.decode(counted); err != nil {
		return fmt.Errorf("%w: its JSON: %w", ErrIndex, jsontext.Fault(err))
	}
	if _, err := io.Copy(io.Discard, counted); err != nil || counted.left != 0 {
		return fmt.Errorf("%w: its JSON has not %d bytes, as is stated: %v", ErrIndex, s.tocRaw, err)
	}
	if got := hash.Digest(); s.toc != "" && s.toc != got {
		return fmt.Errorf("%w: its digest is %s, its layer's descriptor says %s", ErrIndex, got, s.toc)
	}
	return nil
}

// onlySkipped tells whether all frames from the table of contents on are those that
// decompressors pass over: whoever pulls the layer as a whole would get what is in
// others, which a lazy reader does not see.
func (s stated) onlySkipped(blob io.ReadSeeker, size int64) error {
	head := make([]byte, skippableHeader)
	at := int64(s.positions.toc) - skippableHeader
	for at < size {
		w := frameWalk{}
		if size-at >= skippableHeader {
			if err := readAt(blob, at, head); err != nil {
				return err
			}
			w.step(head)
		}
		if !w.last || w.left > size-at {
			return fmt.Errorf("%w: no frame to be skipped at %d, where its table of contents, or what is behind that, is", ErrIndex, at)
		}
		at += w.left
	}
	return nil
}

// Bounds of what a tar-split may have to be compared.
const (
	maxSplitEntry = 16 << 20  // bytes of the JSON of one entry; tar-split cuts what is longer at 1 MiB
	maxSplitNames = 256 << 20 // bytes of all names, which are kept to find one that is there twice
)

// readSplit reads the tar-split, whose digest the table of contents states.
func (s stated) readSplit(blob io.ReadSeeker, want digest.Digest) (*sameSplit, error) {
	text, err := inflated(blob, s.splitAt, s.splitSize, want)
	if err != nil {
		return nil, err
	}
	defer text.Close()
	split := newSameSplit()
	counted := &limited{r: text, left: int64(s.splitRaw)}
	entry := &bounded{counted, context.Background(), 0}
	names := 0
	for entries := storage.NewJSONUnpacker(entry); ; {
		entry.left = maxSplitEntry
		e, err := entries.Next()
		if err == io.EOF && counted.left == 0 {
			return split, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: its tar-split, of which %d bytes are stated: %w", ErrIndex, s.splitRaw, err)
		}
		if names += len(e.GetNameBytes()); names > maxSplitNames {
			return nil, fmt.Errorf("%w: its tar-split has more than %d MiB of names", ErrIndex, maxSplitNames>>20)
		}
		if _, err := split.AddEntry(*e); err != nil {
			return nil, err
		}
	}
}

// inflated reads a part of an index, of at most maxIndex bytes, that has to have
// this digest unless that is empty.
func inflated(blob io.ReadSeeker, offset, size uint64, want digest.Digest) (io.ReadCloser, error) {
	compressed := make([]byte, size)
	if err := readAt(blob, int64(offset), compressed); err != nil {
		return nil, err
	}
	if got := digest.FromBytes(compressed); want != "" && got != want {
		return nil, fmt.Errorf("%w: the %d bytes at %d have digest %s, want %s", ErrIndex, size, offset, got, want)
	}
	r, err := zstd.NewReader(bytes.NewReader(compressed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxMember))
	if err != nil {
		return nil, err
	}
	return r.IOReadCloser(), nil
}

// limited gives an error where there is more than there should be.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, errors.New("there is more")
	}
	return n, err
}

// zstdFrames gives the frames of a zstd layer.
type zstdFrames struct {
	in    *bufio.Reader
	n     int64
	frame []byte
	data  []byte
	zstd  *zstd.Decoder
}

func newZstdFrames(r io.Reader) (*zstdFrames, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxMember))
	return &zstdFrames{in: bufio.NewReaderSize(r, 64<<10), zstd: d}, err
}

// ends counts a frame of no bytes (RFC 8878, 3.1.1) to what it follows: podman's compressor
// writes one, which belongs to the file, where the last part of a file ends where that does.
func (z *zstdFrames) ends() [2]int64 {
	head, _ := z.in.Peek(maxFrameHeader)
	var w frameWalk
	if !w.step(head) || w.last || w.left > int64(len(head)) {
		return [2]int64{z.n, z.n}
	}
	size := w.left
	if !w.step(head[size:]) || !w.last || !w.isEmpty() {
		return [2]int64{z.n, z.n}
	}
	return [2]int64{z.n, z.n + size + w.left}
}

func (z *zstdFrames) next() (offset int64, data []byte, err error) {
	offset = z.n
	if _, err := z.in.Peek(1); err != nil {
		return offset, nil, err
	}
	z.frame = z.frame[:0]
	for w := (frameWalk{}); !w.last; {
		head, _ := z.in.Peek(maxFrameHeader)
		if len(head) == 0 || !w.step(head) || int64(len(z.frame))+w.left > maxMember {
			return offset, nil, fmt.Errorf("%w: no zstd frame of at most %d MiB at %d", ErrIndex, maxMember>>20, offset)
		}
		start := len(z.frame)
		z.frame = append(z.frame, make([]byte, w.left)...)
		if _, err := io.ReadFull(z.in, z.frame[start:]); errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF {
			return offset, nil, fmt.Errorf("%w: the frame at %d has no end", ErrIndex, offset)
		} else if err != nil {
			return offset, nil, err
		}
	}
	z.n += int64(len(z.frame))
	if z.data, err = z.zstd.DecodeAll(z.frame, z.data[:0]); err != nil {
		return offset, nil, fmt.Errorf("%w: frame at %d: %w", ErrIndex, offset, err)
	}
	return offset, z.data, nil
}
