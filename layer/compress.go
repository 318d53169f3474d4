package layer

import (
	"context"
	"errors"
	"hash"
	"io"
	"runtime"
	"sync"

	"github.com/opencontainers/go-digest"
)

// maxWorkers bounds the memory, about 4 MiB for each.
const maxWorkers = 8

// queued is how many segments besides those being compressed may wait, for a
// worker or to be read: without, workers stand still while others write.
const queued = 6

// overhead is by how many bytes a member may exceed what is in it.
const overhead = 1 << 10

// Compressor reads a tar stream and yields it compressed. Its output depends
// on the input and the options only, not on the number of processors.
type Compressor struct {
	cancel  context.CancelFunc
	running sync.WaitGroup
	order   chan *job // in the order of the input
	member  []byte    // the one being read
	rest    []byte    // of it
	diffID  hash.Hash
	size    int64
	end     error // why feed stopped: io.EOF when the input is used up
	err     error
	index   *indexer // nil without one
}

type job struct {
	in    []byte
	parts []part // of in, for an index
	out   []byte
	err   error
	done  chan struct{}
}

// NewCompressor begins to compress r, in parallel on all processors. Close must
// be called; the results are there when Read has returned io.EOF.
func NewCompressor(ctx context.Context, r io.Reader, o Options) (*Compressor, error) {
	o, err := o.normal()
	if err != nil {
		return nil, err
	}
	encoders, err := o.encoders()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	workers := min(runtime.GOMAXPROCS(0), maxWorkers)
	c := &Compressor{cancel: cancel, order: make(chan *job, workers+queued), diffID: digest.Canonical.Hash()}
	if c.index, err = newIndexer(o); err != nil {
		cancel()
		return nil, err
	}
	jobs := make(chan *job, workers)
	for range workers {
		c.running.Go(func() { work(encoders, jobs) })
	}
	c.running.Go(func() {
		c.end = c.feed(ctx, newSegmenter(r, o.Compression == Chunked), jobs)
		c.index.scanned()
		close(jobs)
		close(c.order)
	})
	return c, nil
}

// work compresses jobs until there are no more.
func work(encoders *sync.Pool, jobs <-chan *job) {
	var enc encoder
	for j := range jobs {
		if enc == nil {
			enc = encoders.Get().(encoder)
		}
		for i := range j.parts {
			j.parts[i].sum(j.in)
		}
		j.out, j.err = enc(newBuffer(len(j.in)+overhead), j.in)
		release(j.in)
		j.in = nil
		close(j.done)
	}
	if enc != nil {
		encoders.Put(enc)
	}
}

// feed cuts the input into jobs for the workers and tells why it stopped.
func (c *Compressor) feed(ctx context.Context, segments *segmenter, jobs chan<- *job) error {
	for first := true; ; first = false {
		seg, err := segments.next()
		if err != nil && !(first && err == io.EOF) { // nothing in still is a member out
			return err
		}
		c.diffID.Write(seg)
		c.size += int64(len(seg))
		j := &job{in: seg, parts: c.index.scan(seg), done: make(chan struct{})}
		select {
		case c.order <- j:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case jobs <- j:
		case <-ctx.Done():
			j.err = ctx.Err()
			close(j.done)
			return j.err
		}
	}
}

// Read gives the compressed bytes.
func (c *Compressor) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		release(c.member)
		c.member = nil
		if c.err != nil {
			return 0, c.err
		}
		j, ok := <-c.order
		if !ok {
			if c.err = c.end; c.err == io.EOF {
				c.rest = c.index.end()
			}
			continue
		}
		<-j.done
		c.member, c.rest, c.err = j.out, j.out, j.err
		c.index.member(j.parts, len(j.out))
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// Close ends the work and waits for it.
func (c *Compressor) Close() error {
	c.cancel()
	for range c.order { // what feed had queued when it saw the end
	}
	c.running.Wait()
	c.index.close()
	if c.err == nil {
		c.err = errors.New("compressor is closed")
	}
	return nil
}

// DiffID is the digest of the uncompressed stream, valid after io.EOF.
func (c *Compressor) DiffID() digest.Digest {
	return digest.NewDigest(digest.Canonical, c.diffID)
}

// Size is the number of uncompressed bytes, valid after io.EOF.
func (c *Compressor) Size() int64 { return c.size }

// Index tells of the index inside, valid after io.EOF.
func (c *Compressor) Index() Index {
	if c.index == nil {
		return Index{}
	}
	return c.index.result
}
