package layer

import "encoding/binary"

const (
	frameMagic     = 0xFD2FB528
	skippableMagic = 0x184D2A50
	maxFrameHeader = 18
)

// isFrame tells whether a zstd or skippable frame begins here.
func isFrame(head []byte) bool {
	if len(head) < 8 {
		return false
	}
	magic := binary.LittleEndian.Uint32(head)
	return magic == frameMagic || magic&^0xf == skippableMagic
}

// frameSize measures a zstd frame that lies whole in head.
func frameSize(head []byte) (n int, ok bool) {
	if !isFrame(head) {
		return 0, false
	}
	var w frameWalk
	for n < len(head) {
		if !w.step(head[n:]) {
			return 0, false
		}
		n += int(w.left)
		if w.last {
			return n, n <= len(head)
		}
	}
	return 0, false
}

// frameWalk goes through a zstd frame part by part: its header, then each of
// its blocks (RFC 8878, sections 3.1.1.1 and 3.1.1.2).
type frameWalk struct {
	left     int64 // bytes of the current part
	last     bool  // the current part is the frame's last
	inBlocks bool
	checksum bool
}

// step looks at the part that begins with head; false when it is malformed.
func (w *frameWalk) step(head []byte) bool {
	if w.inBlocks {
		return w.block(head)
	}
	if !isFrame(head) {
		return false
	}
	if binary.LittleEndian.Uint32(head) != frameMagic {
		w.left, w.last = 8+int64(binary.LittleEndian.Uint32(head[4:])), true
		return true
	}
	descriptor := head[4]
	single := descriptor&0x20 != 0
	w.checksum = descriptor&4 != 0
	w.left = 5 + []int64{0, 1, 2, 4}[descriptor&3] + []int64{0, 2, 4, 8}[descriptor>>6]
	if !single {
		w.left++ // window descriptor
	} else if descriptor>>6 == 0 {
		w.left++ // one byte of content size
	}
	w.inBlocks = true
	return true
}

func (w *frameWalk) block(head []byte) bool {
	if len(head) < 3 {
		return false
	}
	h := uint32(head[0]) | uint32(head[1])<<8 | uint32(head[2])<<16
	size := int64(h >> 3)
	switch kind := h >> 1 & 3; kind {
	case 1: // RLE: one byte, repeated
		size = 1
	case 3: // reserved
		return false
	}
	w.left, w.last = 3+size, h&1 != 0
	if w.last && w.checksum {
		w.left += 4
	}
	return true
}

// isEmpty tells whether the current part is a block of no bytes.
func (w *frameWalk) isEmpty() bool {
	return w.left == 3 || w.last && w.checksum && w.left == 7
}
