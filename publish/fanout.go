package publish

import (
	"io"
	"sync"
	"sync/atomic"
)

const (
	fanOutBuffer = 256 << 10
	fanOutAhead  = 6 // buffers by which the slowest consumer may lag behind
)

// fanOut reads r once and lets each consumer read all of it, at the same time,
// each at its own pace within fanOutAhead buffers. It returns when all have
// returned, with the first error.
func fanOut(r io.Reader, consumers ...func(io.Reader) error) error {
	f := &fan{free: make(chan *chunk, fanOutAhead), stop: make(chan struct{})}
	for range fanOutAhead {
		f.free <- nil // made when it is needed: most contents are small
	}
	var wait sync.WaitGroup
	for range consumers {
		f.streams = append(f.streams, &stream{fan: f, full: make(chan *chunk, fanOutAhead)})
	}
	for i, consume := range consumers {
		wait.Go(func() {
			s := f.streams[i]
			err := consume(s)
			if err == nil { // what it did not read, such as bytes behind a gzip trailer
				_, err = s.WriteTo(io.Discard)
			}
			if err != nil {
				f.fail(err)
			}
		})
	}
	f.feed(r)
	wait.Wait()
	for range fanOutAhead {
		select {
		case c := <-f.free:
			if c != nil {
				chunks.Put(c)
			}
		default: // lost in a stream that failed
		}
	}
	if f.failed != nil {
		return f.failed
	}
	return f.end
}

// fan hands the chunks of one reader to several streams and gets them back
// from the last that is done with them.
type fan struct {
	streams []*stream
	free    chan *chunk
	end     error // of the reader; set before the streams are closed

	once   sync.Once
	stop   chan struct{}
	failed error // set before stop is closed
}

type chunk struct {
	buf  [fanOutBuffer]byte
	n    int
	refs atomic.Int32
}

var chunks = sync.Pool{New: func() any { return new(chunk) }}

func (f *fan) fail(err error) {
	f.once.Do(func() {
		f.failed = err
		close(f.stop)
	})
}

func (f *fan) feed(r io.Reader) {
	defer func() {
		for _, s := range f.streams {
			close(s.full)
		}
	}()
	for {
		var c *chunk
		select {
		case c = <-f.free:
		case <-f.stop:
			return
		}
		if c == nil {
			c = chunks.Get().(*chunk)
		}
		err := c.fill(r)
		c.refs.Store(int32(len(f.streams)))
		for _, s := range f.streams {
			s.full <- c // has room for all chunks there are
		}
		if err != nil {
			if err != io.EOF {
				f.end = err
			}
			return
		}
	}
}

// fill reads until c is full. Unlike io.ReadFull it gives the reader's error as
// it is: that of a truncated archive must not become the end of a content.
func (c *chunk) fill(r io.Reader) (err error) {
	for c.n = 0; c.n < len(c.buf) && err == nil; {
		var n int
		n, err = r.Read(c.buf[c.n:])
		c.n += n
	}
	return err
}

// stream is what one consumer reads.
type stream struct {
	fan  *fan
	full chan *chunk
	cur  *chunk
	pos  int
}

// next makes s.cur a chunk with unread bytes.
func (s *stream) next() error {
	for s.cur == nil || s.pos == s.cur.n {
		if s.cur != nil && s.cur.refs.Add(-1) == 0 {
			s.fan.free <- s.cur
		}
		s.cur, s.pos = nil, 0
		select {
		case <-s.fan.stop:
			return s.fan.failed
		case c, ok := <-s.full:
			if !ok && s.fan.end != nil {
				return s.fan.end
			}
			if !ok {
				return io.EOF
			}
			s.cur = c
		}
	}
	return nil
}

func (s *stream) Read(p []byte) (int, error) {
	if err := s.next(); err != nil {
		return 0, err
	}
	n := copy(p, s.cur.buf[s.pos:s.cur.n])
	s.pos += n
	return n, nil
}

// WriteTo spares hashes the copy.
func (s *stream) WriteTo(w io.Writer) (written int64, err error) {
	for {
		if err := s.next(); err == io.EOF {
			return written, nil
		} else if err != nil {
			return written, err
		}
		n, err := w.Write(s.cur.buf[s.pos:s.cur.n])
		s.pos += n
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
}
