package layer

import "sync"

// Capacities of reused buffers. A large one holds any segment, any member and a
// block of the UnixFS profile; most need no more than a small one.
const (
	smallBuffer = 128 << 10
	largeBuffer = 1 << 20
)

var smallBuffers, largeBuffers = bufferPool(smallBuffer), bufferPool(largeBuffer)

func bufferPool(size int) *sync.Pool {
	return &sync.Pool{New: func() any {
		b := make([]byte, 0, size)
		return &b
	}}
}

// newBuffer gives an empty buffer for n bytes. What lies behind its length is
// anything.
func newBuffer(n int) []byte {
	switch {
	case n <= smallBuffer:
		return (*smallBuffers.Get().(*[]byte))[:0]
	case n <= largeBuffer:
		return (*largeBuffers.Get().(*[]byte))[:0]
	}
	return make([]byte, 0, n)
}

// release takes back a buffer, of newBuffer or not, that nobody reads any more.
func release(b []byte) {
	switch {
	case cap(b) >= largeBuffer:
		largeBuffers.Put(&b)
	case cap(b) >= smallBuffer:
		smallBuffers.Put(&b)
	}
}

// room gives b with capacity for n more bytes, and releases b if it is another.
func room(b []byte, n int) []byte {
	if len(b)+n <= cap(b) {
		return b
	}
	larger := append(newBuffer(len(b)+n), b...)
	release(b)
	return larger
}
