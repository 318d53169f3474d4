// Package layer decides where image layers are cut into IPFS blocks, and
// compresses tar streams so that the cuts fall on the files inside.
//
// A layer that is written by [Compressor] is an ordinary gzip or zstd file of
// many members, each one file (or a piece of one, or a pool of small ones).
// Unchanged files then are the same blocks in every layer of every image. Cuts
// depend on the bytes of the blob alone: gzip members carry their length in an
// extra field, as BGZF does (SAM specification, section 4.1), and zstd frames
// are measured by their block headers (RFC 8878, section 3.1.1).
package layer

import (
	"bufio"
	"encoding/binary"
	"hash/fnv"
	"io"
)

// Cuts is the number of the rules by which blobs are cut. It has to be raised
// whenever a blob gets other blocks by them than before.
const Cuts = 3

const (
	// joinBelow is the size up to which neighbouring members share a block.
	joinBelow = 4 << 10
	// Frames of zstd below poolFrame share a block: where each file has a frame,
	// most are small. The block ends before a larger one and, once it has minBlock
	// bytes, before a frame whose hash falls on one in frameOdds, so that a frame
	// that is new moves the cuts up to the next such frame only.
	poolFrame = 6 << 10
	minBlock  = 8 << 10
	maxBlock  = 64 << 10
	frameOdds = 8
	// peekSize bounds what is looked at to measure a member.
	peekSize = 16 << 10
)

// Cutter cuts a blob into the blocks under which it lies on IPFS; it
// implements the Splitter interface of boxo's chunker package.
type Cutter struct {
	r    *bufio.Reader
	max  int
	left int64 // bytes until the next member begins; opaque when unknown for good
	zstd *frameWalk

	small  []byte // the frame that begins here, when it is below poolFrame
	pooled bool   // the current member is such a frame
}

const opaque = int64(1) << 62

// NewCutter cuts the bytes of r into blocks of at most max bytes: at the
// members of a blob that consists of measurable gzip members or of zstd
// frames, at multiples of max in all others.
func NewCutter(r io.Reader, max int) *Cutter {
	return &Cutter{r: bufio.NewReaderSize(r, peekSize), max: max}
}

// Reader is what the blocks are cut from.
func (c *Cutter) Reader() io.Reader { return c.r }

// NextBytes gives the next block, or io.EOF behind the last. The caller may keep
// it, or [Release] it when nobody reads it any more.
func (c *Cutter) NextBytes() ([]byte, error) {
	var block []byte
	for len(block) < c.max {
		if c.left == 0 {
			n, err := c.measure()
			if err == io.EOF {
				break
			}
			if err != nil {
				return nil, err
			}
			if len(block) > 0 && !c.joins(len(block), n) {
				break
			}
			c.begin(n)
		}
		var err error
		if block, err = c.take(block); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
		if c.left == 0 && !c.pooled && len(block) >= joinBelow {
			break
		}
	}
	if len(block) == 0 {
		return nil, io.EOF
	}
	return block, nil
}

// joins tells whether the member of n bytes that begins here shares a block with
// the size bytes before it.
func (c *Cutter) joins(size int, n int64) bool {
	switch isSmall := c.small != nil; {
	case isSmall != c.pooled:
		return false
	case !isSmall:
		return n >= 0 && int64(size)+n <= joinBelow
	case int64(size)+n > min(maxBlock, int64(c.max)):
		return false
	}
	f := fnv.New32a()
	f.Write(c.small)
	return size < minBlock || f.Sum32()>>8%frameOdds != 0
}

// Release lets the memory of a block be used for others.
func Release(block []byte) { release(block) }

// lengths that measure gives besides that of a member
const (
	longFrame = -1 // a zstd frame that does not end within peekSize
	noMember  = -2 // anything else: the rest of the blob is opaque
)

// measure tells the length of the member that begins here without consuming it.
func (c *Cutter) measure() (int64, error) {
	c.small = nil
	head, err := c.r.Peek(peekSize)
	if len(head) == 0 {
		if err == nil {
			err = io.EOF
		}
		return 0, err
	}
	if err != nil && err != io.EOF { // not one that only wraps it: that is a failure
		return 0, err
	}
	if n := memberSize(head); n > 0 {
		return int64(n), nil
	}
	if n, ok := frameSize(head); ok {
		if n < poolFrame && binary.LittleEndian.Uint32(head) == frameMagic {
			c.small = head[:n]
		}
		return int64(n), nil
	}
	if isFrame(head) {
		return longFrame, nil
	}
	return noMember, nil
}

func (c *Cutter) begin(n int64) {
	c.pooled = c.small != nil
	switch n {
	case noMember:
		c.left = opaque
	case longFrame:
		c.zstd = &frameWalk{}
		c.left = opaque // until the walk knows better
	default:
		c.left = n
	}
}

// take appends to block what belongs to it of the current member.
func (c *Cutter) take(block []byte) ([]byte, error) {
	want := int64(c.max - len(block))
	if c.zstd != nil {
		return c.takeFrame(block, want)
	}
	want = min(want, c.left)
	if c.left == opaque && len(block) == 0 {
		want = min(want, firstRead)
	}
	block, n, err := c.read(block, want)
	if c.left != opaque {
		c.left -= n
	}
	return block, err
}

// firstRead is how much of an opaque blob is read before room is made for a
// whole block: most blobs are small.
const firstRead = smallBuffer

// read appends n bytes to block, fewer only with io.EOF or an error.
func (c *Cutter) read(block []byte, n int64) ([]byte, int64, error) {
	start := len(block)
	block = room(block, int(n))[:start+int(n)]
	got, err := io.ReadFull(c.r, block[start:])
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return block[:start+got], int64(got), err
}

// takeFrame appends the next part of a long zstd frame, measuring it on the way.
func (c *Cutter) takeFrame(block []byte, want int64) ([]byte, error) {
	if c.zstd.left == 0 {
		head, err := c.r.Peek(maxFrameHeader)
		if len(head) == 0 {
			c.zstd = nil
			if err == nil {
				err = io.EOF
			}
			return block, err
		}
		if !c.zstd.step(head) { // malformed: opaque from here on
			c.zstd, c.left = nil, opaque
			return block, nil
		}
	}
	block, n, err := c.read(block, min(want, c.zstd.left))
	c.zstd.left -= n
	if c.zstd.left == 0 && c.zstd.last {
		c.zstd, c.left = nil, 0
	}
	return block, err
}

// memberSize tells the whole length of a gzip member that carries it in its
// extra field (RFC 1952, section 2.3.1.1), ours or BGZF's; 0 for all others.
func memberSize(head []byte) int {
	const flagExtra = 4
	if len(head) < 12 || head[0] != 0x1f || head[1] != 0x8b || head[2] != 8 || head[3]&flagExtra == 0 {
		return 0
	}
	extra := head[12:]
	n := int(binary.LittleEndian.Uint16(head[10:]))
	if n := emptySize(extra, n); n > 0 {
		return len(head) - len(extra) + n
	}
	if n > len(extra) {
		return 0
	}
	for extra = extra[:n]; len(extra) >= 4; {
		size := int(binary.LittleEndian.Uint16(extra[2:]))
		if size > len(extra)-4 {
			return 0
		}
		value := extra[4 : 4+size]
		switch {
		case extra[0] == ourID1 && extra[1] == ourID2 && size == 4:
			return int(binary.LittleEndian.Uint32(value))
		case extra[0] == 'B' && extra[1] == 'C' && size == 2:
			return int(binary.LittleEndian.Uint16(value)) + 1
		}
		extra = extra[4+size:]
	}
	return 0
}

// emptySize tells the length of a member of an index from its extra field on,
// which has n bytes; 0 for all others. These members are empty, so that the
// field's length is all there is to know.
func emptySize(extra []byte, n int) int {
	if n < 4 || len(extra) < 4 || int(binary.LittleEndian.Uint16(extra[2:])) != n-4 {
		return 0
	}
	switch {
	case extra[0] == pieceID1 && extra[1] == pieceID2:
		return n + len(pieceTrailer)
	case extra[0] == footerID1 && extra[1] == footerID2:
		return n + footerEnd
	}
	return 0
}
