package layer

import "sync"

// A piece of an index ends with bytes that no reader of the index can avoid:
// what closes one empty gzip member and begins the next. They are led into a
// deflate block (RFC 1951, section 3.2.7) with a Huffman code in which any bits
// without 13 ones in a row stand for blanks, which JSON ignores between values.

// blankCode gives the bits of each symbol: blanks, copies of what stands one or
// two bytes before, and the end of the block. The code is complete, and the end
// of the block is the code of 13 ones.
var blankCode = map[int]uint{' ': 1, '\n': 2, '\t': 3, 257: 4, 258: 5, 259: 6, 260: 7, 261: 8, 262: 9, 263: 10, 264: 11, 285: 12, '\r': 13, endOfBlock: 13}

const (
	endOfBlock = 256
	literals   = 286 // symbols of the literal and length alphabet
	distances  = 2   // of one bit each
	lead       = 2   // blanks that are there before the first copy
	fillBits   = 16  // zeros that complete the last symbol, and then are blanks
)

// bitWriter writes deflate's bits, the least significant of a byte first.
type bitWriter struct {
	buf  []byte
	used uint // bits of the last byte
}

func (w *bitWriter) bits(v uint32, n uint) {
	for i := range n {
		if w.used%8 == 0 {
			w.buf = append(w.buf, 0)
		}
		w.buf[len(w.buf)-1] |= byte(v>>i&1) << (w.used % 8)
		w.used++
	}
}

// code writes a Huffman code, whose most significant bit comes first.
func (w *bitWriter) code(v uint32, n uint) {
	for i := range n {
		w.bits(v>>(n-1-i)&1, 1)
	}
}

// canonical gives the codes of symbols by their lengths (RFC 1951, section 3.2.2).
func canonical(lengths []uint) []uint32 {
	codes := make([]uint32, len(lengths))
	next := uint32(0)
	for n := uint(1); n <= 15; n++ {
		for symbol, length := range lengths {
			if length == n {
				codes[symbol] = next
				next++
			}
		}
		next <<= 1
	}
	return codes
}

// beginBlanks begins a block of blankCode at a byte, writes the blanks that
// lead it and ends at a byte again.
func beginBlanks() (block []byte, text []byte) {
	lengths := make([]uint, literals+distances)
	for symbol, n := range blankCode {
		lengths[symbol] = n
	}
	lengths[literals], lengths[literals+1] = 1, 1
	// Code lengths are themselves coded: 0 to 13 and the two runs of zeros are
	// 16 symbols of 4 bits.
	const shortRun, longRun = 17, 18
	order := []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	meta := make([]uint, 19)
	for _, symbol := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, shortRun, longRun} {
		meta[symbol] = 4
	}
	codes := canonical(meta)
	var w bitWriter
	w.bits(0b100, 3) // not the last, dynamic codes
	w.bits(literals-257, 5)
	w.bits(distances-1, 5)
	w.bits(uint32(len(order)-4), 4)
	for _, symbol := range order {
		w.bits(uint32(meta[symbol]), 3)
	}
	for i := 0; i < len(lengths); {
		run := 0
		for i+run < len(lengths) && lengths[i+run] == 0 && run < 138 {
			run++
		}
		switch {
		case run >= 11:
			w.code(codes[longRun], 4)
			w.bits(uint32(run-11), 7)
		case run >= 3:
			w.code(codes[shortRun], 4)
			w.bits(uint32(run-3), 3)
		default:
			run = 1
			w.code(codes[lengths[i]], 4)
		}
		i += run
	}
	for len(text) < lead || w.used%8 != 0 { // a blank is one bit, 0
		w.bits(0, 1)
		text = append(text, ' ')
	}
	return w.buf, text
}

// endBlanks ends a block of blankCode that ends with any glue, at a byte.
func endBlanks() []byte {
	var w bitWriter
	w.bits(0, fillBits)
	w.code(1<<13-1, 13)
	w.bits(0, 3)                           // an empty stored block, not the last
	return append(w.buf, 0, 0, 0xff, 0xff) // the 32 bits before end at a byte
}

// blankSymbols gives the symbols of blankCode by length and code.
var blankSymbols = sync.OnceValue(func() map[[2]uint32]int {
	lengths := make([]uint, literals)
	for symbol, n := range blankCode {
		lengths[symbol] = n
	}
	symbols := map[[2]uint32]int{}
	for symbol, code := range canonical(lengths) {
		if lengths[symbol] > 0 {
			symbols[[2]uint32{uint32(lengths[symbol]), code}] = symbol
		}
	}
	return symbols
})

// isBlank tells whether glue does not end a block of blankCode.
func isBlank(glue, lead []byte) bool {
	_, ok := blanksOf(glue, lead)
	return ok
}

// blanksOf is the text that glue is in a block of blankCode, behind what leads
// it and with the bits that endBlanks fills up; not ok when glue ends the block.
func blanksOf(glue, lead []byte) (text []byte, ok bool) {
	text = append(text, lead...)
	symbols := blankSymbols()
	bits := append(append([]byte{}, glue...), 0, 0) // fillBits
	pos := 0
	bit := func() uint32 {
		v := uint32(bits[pos/8]) >> (pos % 8) & 1
		pos++
		return v
	}
	for pos < 8*len(bits) {
		code, symbol, found := uint32(0), 0, false
		for n := uint32(1); !found; n++ {
			code = code<<1 | bit()
			symbol, found = symbols[[2]uint32{n, code}]
		}
		switch {
		case symbol == endOfBlock:
			return nil, false
		case symbol < endOfBlock:
			text = append(text, byte(symbol))
		default:
			length := 258
			if symbol < 285 {
				length = symbol - 254
			}
			distance := int(bit()) + 1
			for range length {
				text = append(text, text[len(text)-distance])
			}
		}
	}
	return text, true
}
