package kubo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/car"
)

var (
	errEnded   = errors.New("the publication has ended")
	errAborted = errors.New("the publication was aborted")
)

// errSlow ends an import that Kubo does not come back from: it looks for ever
// on the network for a block that is missing below the root.
var errSlow = fmt.Errorf("%w: Kubo has taken the blocks, but not pinned their root in time; its garbage collection may be running (then publish again), or blocks may be missing", ipfs.ErrUnavailable)

// pinTime is how long Kubo may take for whatever it has not read yet and for
// walking what was sent: at least [pinLeast].
func pinTime(sent int64) time.Duration {
	const slow = 5 << 20 // bytes a second
	return pinLeast + time.Duration(sent/slow)*time.Second
}

// maxSeen bounds the memory for blocks that are not sent twice, to about 8 MB.
const maxSeen = 65_536

// tx is one dag/import request whose body is still being written: a CAR of the
// blocks and then, in Commit, a second one of nothing but a header that names
// the root. Kubo takes its pin lock before it reads the first byte, which
// keeps its garbage collection out until the root is pinned.
type tx struct {
	e      *Store
	ctx    context.Context
	cancel context.CancelCauseFunc
	pipe   *io.PipeWriter
	buf    *bufio.Writer
	form   *multipart.Writer
	car    *car.Writer
	seen   map[string]struct{}
	sent   uint64 // blocks
	bytes  int64  // their bytes
	ended  bool

	done   chan struct{} // closed when the answer, or an error, is there
	answer importAnswer
	err    error
}

// Begin opens the import. Its request lives under ctx until Commit or Abort:
// when ctx ends, the publication fails. Kubo's garbage collection waits for
// it, and for as long as one waits no other import begins.
func (e *Store) Begin(ctx context.Context) (ipfs.Tx, error) {
	t, err := e.begin(ctx)
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (e *Store) begin(ctx context.Context) (*tx, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	body, pipe := io.Pipe()
	t := &tx{e: e, ctx: ctx, cancel: cancel, pipe: pipe, seen: map[string]struct{}{}, done: make(chan struct{})}
	t.buf = bufio.NewWriterSize(pipe, 128<<10)
	t.form = multipart.NewWriter(t.buf)
	go t.send(body)
	err := t.part("blocks.car")
	if err != nil {
		t.Abort()
		return nil, err
	}
	return t, nil
}

// send runs the request; its end is the closing of t.done.
func (t *tx) send(body *io.PipeReader) {
	defer close(t.done)
	defer body.CloseWithError(errEnded) // unblocks whoever writes
	r := t.e.shell.Request("dag/import").
		Option("pin-roots", true).
		Option("stats", true).
		Option("allow-big-block", true). // else a Kubo before 0.40 refuses what is above 1 MiB; Put has the limit
		Header("Content-Type", t.form.FormDataContentType()).
		Body(body)
	resp, err := t.e.send(t.ctx, r)
	if err != nil {
		t.err = err
		return
	}
	defer resp.Output.Close()
	if t.answer, err = parseAnswer(resp.Output); err != nil {
		t.err = t.e.mapError(t.ctx, err)
	}
}

// part begins the next CAR of the request.
func (t *tx) part(name string, roots ...cid.Cid) error {
	w, err := t.form.CreateFormFile("file", name)
	if err == nil {
		t.car, err = car.NewWriter(w, roots...)
	}
	if err != nil {
		return t.fail(err)
	}
	return nil
}

// fail ends the publication after a failed write. What Kubo answered tells
// more than that it no longer listens.
func (t *tx) fail(err error) error {
	t.pipe.CloseWithError(err)
	<-t.done
	t.ended = true
	if t.err != nil {
		err = t.err
	}
	return fmt.Errorf("importing blocks: %w", err)
}

// within lets ctx, too, end the publication until the returned func is called.
func (t *tx) within(ctx context.Context) func() bool {
	return context.AfterFunc(ctx, func() { t.cancel(context.Cause(ctx)) })
}

// Put sends a block; Kubo checks it against its CID. An error, that of an
// ended ctx as well, ends the publication.
func (t *tx) Put(ctx context.Context, c cid.Cid, data []byte) error {
	if t.ended {
		return errEnded
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	key := c.KeyString()
	if _, ok := t.seen[key]; ok {
		return nil
	}
	if len(t.seen) < maxSeen {
		t.seen[key] = struct{}{}
	}
	if len(data) > maxPut {
		return errors.Join(fmt.Errorf("block %s has %d bytes, which no peer takes: a block has at most 2 MiB (%d bytes)", c, len(data), maxPut), t.Abort())
	}
	defer t.within(ctx)()
	if err := t.car.Block(c, data); err != nil {
		return t.fail(err)
	}
	t.sent++
	t.bytes += int64(len(data))
	return nil
}

// Branch sends its blocks along with all others, for Kubo has no place apart;
// to drop it is to link to none of them, and Kubo's next garbage collection
// sweeps them like those of an aborted publication.
func (t *tx) Branch() (ipfs.Branch, error) {
	if t.ended {
		return nil, errEnded
	}
	return &branch{t: t}, nil
}

type branch struct {
	t       *tx
	dropped bool
}

func (b *branch) Put(ctx context.Context, c cid.Cid, data []byte) error {
	if b.dropped {
		return errors.New("the branch was dropped")
	}
	return b.t.Put(ctx, c, data)
}

func (b *branch) Drop() error {
	b.dropped = true
	return nil
}

// Commit pins the root and gives the pin its name. Kubo checks that all blocks
// below the root are there and syncs them to disk. A recursive pin that the
// root already has, whoever made it, is taken over. Stats are -1, unknown,
// unless the root was pinned before: then nothing is new. [Store.Counting]
// knows them.
func (t *tx) Commit(ctx context.Context, root ipfs.Root) (ipfs.Stats, error) {
	unknown := ipfs.Stats{NewBlocks: -1, NewBytes: -1}
	if t.ended {
		return unknown, errEnded
	}
	defer t.within(ctx)()
	before, pinned, err := t.e.pin(ctx, root.CID)
	if err != nil {
		t.Abort()
		return unknown, err
	}
	var pins []cid.Cid
	if !pinned { // to pin it again, Kubo would first unpin it
		pins = []cid.Cid{root.CID}
		if err := t.part("root.car", root.CID); err != nil {
			return unknown, err
		}
	}
	if err := t.finish(root.CID.String(), pins...); err != nil {
		if !pinned { // the answer may have been lost after the pin was made
			err = errors.Join(err, t.e.undo(ctx, root.CID))
		}
		return unknown, err
	}
	if err := t.e.name(ctx, root, before, pinned); err != nil {
		return unknown, err
	}
	if pinned {
		return ipfs.Stats{}, nil
	}
	return unknown, nil
}

// finish ends the request and checks what Kubo made of it, and of the roots that it was
// to pin; of names the publication in errors.
func (t *tx) finish(of string, pins ...cid.Cid) error {
	err := t.form.Close()
	if err == nil {
		err = t.buf.Flush()
	}
	if err != nil {
		return t.fail(err)
	}
	t.pipe.Close()
	late := time.AfterFunc(t.e.pinTime(t.bytes), func() { t.cancel(errSlow) })
	<-t.done
	late.Stop()
	t.ended = true
	t.cancel(errEnded)
	switch {
	case t.err != nil:
		return fmt.Errorf("importing %s: %w", of, t.err)
	case t.answer.blocks != t.sent:
		return fmt.Errorf("%w: %s says that it imported %d of %d blocks below %s; publish again", ipfs.ErrCorrupt, t.e, t.answer.blocks, t.sent, of)
	}
	for _, root := range pins {
		why, ok := t.answer.roots[root]
		if !ok {
			return fmt.Errorf("%s imported the blocks, but does not say that it pinned %s; publish again", t.e, root)
		}
		if saysNotFound(why) {
			return fmt.Errorf("%w: %s could not pin %s: %s", ipfs.ErrNotFound, t.e, root, why)
		}
		if why != "" {
			return fmt.Errorf("%s could not pin %s: %s", t.e, root, why)
		}
	}
	return nil
}

// Abort leaves no pin. Blocks that Kubo has taken go with its next garbage
// collection.
func (t *tx) Abort() error {
	if t.ended {
		return nil
	}
	t.ended = true
	t.cancel(errAborted)
	t.pipe.CloseWithError(errAborted)
	<-t.done
	return nil
}
