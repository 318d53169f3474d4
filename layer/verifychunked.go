package layer

import (
	"bufio"
	"bytes"
	"encoding/json"
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
		want, err := statedBy(blob, size, a)
		if err != nil {
			return err
		}
		if want == (stated{}) || checked[want] {
			continue
		}
		checked[want] = true
		if err := want.verify(blob); err != nil {
			return err
		}
	}
	return nil
}

// stated is what a descriptor says of the index of its layer.
type stated struct {
	positions
	splitAt  uint64        // of the tar-split; 0 without one
	toc      digest.Digest // of the JSON, where it says that
	checksum digest.Digest // of the compressed JSON, where it says that
}

// statedBy reads the annotations of a descriptor. Those of podman say where the
// parts lie; for stargz-snapshotter the footer does.
func statedBy(blob io.ReadSeeker, size int64, a map[string]string) (s stated, err error) {
	s.toc, s.checksum = digest.Digest(a[AnnotationTOC]), digest.Digest(a[AnnotationChunkedTOC])
	switch {
	case s.checksum != "":
		kind := uint64(0)
		if _, err := fmt.Sscanf(a[annotationChunkedAt], "%d:%d:%d:%d", &s.positions.toc, &s.tocSize, &s.tocRaw, &kind); err != nil || kind != chunkedType {
			return s, fmt.Errorf("%w: annotation %s is %q, which names no place of type %d", ErrIndex, annotationChunkedAt, a[annotationChunkedAt], chunkedType)
		}
		if at := a[annotationChunkedTarSplit]; at != "" {
			if _, err := fmt.Sscanf(at, "%d:%d:%d", &s.splitAt, &s.splitSize, &s.splitRaw); err != nil {
				return s, fmt.Errorf("%w: annotation %s is %q, which names no place", ErrIndex, annotationChunkedTarSplit, at)
			}
		}
	case s.toc != "":
		if s.positions, err = readChunkedFooter(blob, size); err != nil {
			return s, err
		}
	}
	for _, part := range [][2]uint64{{s.positions.toc, s.tocSize}, {s.splitAt, s.splitSize}} {
		if part[0] > uint64(size) || part[1] > uint64(size)-part[0] {
			return s, fmt.Errorf("%w: %d bytes at %d of a layer of %d bytes", ErrIndex, part[1], part[0], size)
		}
	}
	if s.tocRaw > maxIndexText || s.tocSize > maxIndex || s.splitSize > maxIndex {
		return s, fmt.Errorf("%w: it has more than %d MiB", ErrIndex, maxIndex>>20)
	}
	return s, nil
}

func (s stated) verify(blob io.ReadSeeker) error {
	told := newTold()
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
	if err := told.decode(json.NewDecoder(counted)); err != nil {
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

// readSplit reads the tar-split, whose digest the table of contents states.
func (s stated) readSplit(blob io.ReadSeeker, want digest.Digest) (*sameSplit, error) {
	text, err := inflated(blob, s.splitAt, s.splitSize, want)
	if err != nil {
		return nil, err
	}
	defer text.Close()
	split := newSameSplit()
	for entries := storage.NewJSONUnpacker(text); ; {
		e, err := entries.Next()
		if err == io.EOF {
			return split, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: its tar-split: %w", ErrIndex, err)
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
