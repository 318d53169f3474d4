package layer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/vbatts/tar-split/tar/storage"
)

// The index of a zstd:chunked layer lies in skippable frames behind the layer's
// own: the table of contents, what tar-split has of the tar, and a footer that
// points to the first (go.podman.io/storage, docs/containers-storage-zstd-chunked.md).
const (
	skippableHeader   = 8
	chunkedFooterSize = 40
	chunkedMagic      = "GnUlInUx"
	chunkedType       = 1 // of the table of contents: that of eStargz
	chunkedLevel      = zstd.SpeedBetterCompression
)

// errOwnFrame is why a layer in which the data of a file lies elsewhere than its
// headers seem to say has no index.
var errOwnFrame = errors.New("a file's data does not lie where its header says")

// smallText compresses a text that is held, of at most maxIndex bytes.
type smallText struct {
	zstd *zstd.Encoder
	out  bytes.Buffer
	raw  int64
}

// smallTexts keeps encoders between two layers: some MiB each.
var smallTexts sync.Pool

func newSmallText() (*smallText, error) {
	t := &smallText{}
	if rested, ok := smallTexts.Get().(*zstd.Encoder); ok {
		t.zstd = rested
		t.zstd.Reset(&t.out)
		return t, nil
	}
	var err error
	t.zstd, err = zstd.NewWriter(&t.out, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(largeBuffer), zstd.WithLowerEncoderMem(true), zstd.WithEncoderLevel(chunkedLevel))
	return t, err
}

func (t *smallText) Write(p []byte) (int, error) {
	if t.out.Len() > maxIndex {
		return 0, errLongIndex
	}
	t.raw += int64(len(p))
	return t.zstd.Write(p)
}

// release gives back the encoder; nothing can be written then.
func (t *smallText) release() {
	t.zstd.Reset(nil)
	smallTexts.Put(t.zstd)
	t.zstd = nil
}

// chunkedIndex is the index of a zstd:chunked layer while it is made.
type chunkedIndex struct {
	text    *smallText // of the table of contents
	digest  digest.Digester
	rest    *smallText // of the tar
	split   *tarSplit
	splitBy error // why there is none
}

func newChunkedIndex() (*chunkedIndex, error) {
	text, err := newSmallText()
	if err != nil {
		return nil, err
	}
	rest, err := newSmallText()
	if err != nil {
		return nil, err
	}
	return &chunkedIndex{text: text, digest: digest.Canonical.Digester(), rest: rest, split: newTarSplit(storage.NewJSONPacker(rest))}, nil
}

func (c *chunkedIndex) segment(seg []byte) { _, _ = c.split.Write(seg) } // never fails

func (c *chunkedIndex) scanned() { c.splitBy = c.split.end() }

// abandon ends the tar-split, which keeps all names.
func (c *chunkedIndex) abandon() { _ = c.split.end() } // whatever is wrong with it, there is no index

func (c *chunkedIndex) release() {
	c.text.release()
	c.rest.release()
}

func (c *chunkedIndex) add(text []byte) error {
	c.digest.Hash().Write(text)
	_, err := c.text.Write(text)
	return err
}

func (c *chunkedIndex) end(toc *tocWriter, headers headerHash, offset int64) ([]byte, Index, error) {
	if c.splitBy != nil {
		return nil, Index{}, c.splitBy
	}
	if err := c.rest.zstd.Close(); err != nil {
		return nil, Index{}, err
	}
	if err := c.checkHeaders(headers); err != nil {
		return nil, Index{}, err
	}
	return c.seal(toc, offset)
}

// seal gives the frames of the index.
func (c *chunkedIndex) seal(toc *tocWriter, offset int64) ([]byte, Index, error) {
	if err := c.rest.zstd.Close(); err != nil {
		return nil, Index{}, err
	}
	rest := c.rest.out.Bytes()
	text, err := toc.end(`,"tarSplitDigest":"` + digest.FromBytes(rest).String() + `"`)
	if err == nil {
		err = c.add(text)
	}
	if err == nil {
		err = c.text.zstd.Close()
	}
	if err != nil {
		return nil, Index{}, err
	}
	compressed := c.text.out.Bytes()
	index := Index{toc: c.digest.Digest(), checksum: digest.FromBytes(compressed)}
	index.at = positions{
		toc: uint64(offset) + skippableHeader, tocSize: uint64(len(compressed)), tocRaw: uint64(c.text.raw),
		splitSize: uint64(len(rest)), splitRaw: uint64(c.rest.raw),
	}
	return bytes.Join([][]byte{skippable(compressed), skippable(rest), skippable(index.at.footer())}, nil), index, nil
}

// checkHeaders compares what archive/tar has read of the tar, of which the table
// of contents is, with what readers get from the tar-split: they refuse a layer
// where the two differ.
func (c *chunkedIndex) checkHeaders(want headerHash) error {
	r, err := zstd.NewReader(bytes.NewReader(c.rest.out.Bytes()), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return err
	}
	defer r.Close()
	got, err := headersOf(r)
	if err == nil && !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		err = errors.New("tar-split reads its headers otherwise than archive/tar")
	}
	return err
}

// skippable is a frame that decompressors pass over (RFC 8878, section 3.1.2).
func skippable(p []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, skippableMagic)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(p)))
	return append(b, p...)
}

// positions of the parts of a zstd:chunked index: offsets in the blob, and bytes
// compressed and not.
type positions struct {
	toc, tocSize, tocRaw, splitSize, splitRaw uint64
}

func (p positions) split() uint64 { return p.toc + p.tocSize + skippableHeader }

func (p positions) footer() []byte {
	var b []byte
	for _, n := range []uint64{p.toc, p.tocSize, p.tocRaw, chunkedType} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return append(b, chunkedMagic...)
}

// readChunkedFooter gives the position of the table of contents.
func readChunkedFooter(blob io.ReadSeeker, size int64) (p positions, err error) {
	b := make([]byte, chunkedFooterSize)
	if size < chunkedFooterSize {
		return p, fmt.Errorf("%w: it has %d bytes, less than a footer", ErrIndex, size)
	}
	if err := readAt(blob, size-chunkedFooterSize, b); err != nil {
		return p, err
	}
	number := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	p = positions{toc: number(0), tocSize: number(1), tocRaw: number(2)}
	if string(b[32:]) != chunkedMagic || number(3) != chunkedType {
		return p, fmt.Errorf("%w: its last %d bytes are no footer of zstd:chunked", ErrIndex, chunkedFooterSize)
	}
	return p, nil
}
