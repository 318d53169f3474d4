package kubo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// A file that is being read is held by a link to it in Kubo's MFS, all of which its
// garbage collection keeps. That costs the same for files of all sizes, where a pin would
// have Kubo read each block of them.

const (
	// heldDir is where links to what is being read are, named by when they were made and
	// at random.
	heldDir = "/.image2ipfs-held"
	// heldAfter is how long a link stays when nobody reads the file any more: engines
	// ask for the parts of a blob one after the other.
	heldAfter = 10 * time.Second
	// heldMost is after which a link is taken for one of a process that was killed.
	heldMost = 24 * time.Hour
	// unlinkTimeout bounds the removal of links.
	unlinkTimeout = 10 * time.Second
)

// holds are the files that are being read, or were a moment ago.
type holds struct {
	mu     sync.Mutex
	held   map[cid.Cid]*beingRead
	tidied bool // links of processes that were killed have been looked for
	closed bool
	tasks  sync.WaitGroup
}

// beingRead is a file that is being read.
type beingRead struct {
	path  string        // of the link
	ready chan struct{} // closed when the link is made, or err is set
	err   error

	readers int       // holds.mu is held
	idle    time.Time // since when there are none; likewise
}

// offline reads what Kubo has.
type offline struct{ getter }

// Hold implements [ipfs.Holder], as [Store.Hold].
func (o offline) Hold(ctx context.Context, c cid.Cid) (ipfs.Getter, func(), error) {
	return o.e.Hold(ctx, c)
}

var (
	_ ipfs.Holder = offline{}
	_ ipfs.Holder = (*Store)(nil)
)

// Hold implements [ipfs.Holder]: what is under c stays until it is released, also when
// it is unpinned and Kubo collects garbage. While Kubo does that nothing can be promised:
// the error matches [ipfs.ErrUnavailable] when it goes on for more than 5 seconds. A Kubo
// that gives no access to its MFS holds nothing, and the way to the last block is looked
// at, as for any [ipfs.Getter].
func (e *Store) Hold(ctx context.Context, c cid.Cid) (ipfs.Getter, func(), error) {
	g := getter{e: e, offline: true}
	h, making := e.holds.enter(c)
	release := sync.OnceFunc(func() { e.leave(c, h) })
	if making {
		h.err = e.link(context.WithoutCancel(ctx), c, h.path) // others may wait for it
		close(h.ready)
	}
	select {
	case <-h.ready:
	case <-ctx.Done():
		release()
		return nil, nil, context.Cause(ctx)
	}
	err := h.err
	if err == nil || errors.Is(err, errNoLink) {
		err = ipfs.Last(ctx, g, c)
	}
	if err != nil {
		release()
		return nil, nil, fmt.Errorf("holding %s: %w", c, err)
	}
	return g, release, nil
}

// enter counts a reader of c; making says that it has to make the link.
func (h *holds) enter(c cid.Cid) (one *beingRead, making bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if one = h.held[c]; one == nil {
		making = true
		one = &beingRead{path: heldDir + "/" + strconv.FormatInt(time.Now().Unix(), 10) + "-" + rand.Text(), ready: make(chan struct{})}
		if h.held == nil {
			h.held = map[cid.Cid]*beingRead{}
		}
		h.held[c] = one
	}
	one.readers++
	return one, making
}

// leave ends one reading. What failed is tried again by who comes next.
func (e *Store) leave(c cid.Cid, h *beingRead) {
	e.holds.mu.Lock()
	defer e.holds.mu.Unlock()
	h.readers--
	if h.err != nil && e.holds.held[c] == h {
		delete(e.holds.held, c)
	}
	if h.readers == 0 && h.err == nil {
		h.idle = time.Now()
		time.AfterFunc(heldAfter, func() { e.expire(c, h) })
	}
}

// expire removes the link to what nobody has read for a while.
func (e *Store) expire(c cid.Cid, h *beingRead) {
	e.holds.mu.Lock()
	if e.holds.closed || h.readers > 0 || e.holds.held[c] != h || time.Since(h.idle) < heldAfter {
		e.holds.mu.Unlock()
		return
	}
	delete(e.holds.held, c)
	e.holds.tasks.Add(1)
	e.holds.mu.Unlock()
	defer e.holds.tasks.Done()
	_ = e.unlink(h.path) // another process does so a day later
}

// letGo removes all links.
func (e *Store) letGo() (err error) {
	e.holds.mu.Lock()
	e.holds.closed = true
	all := e.holds.held
	e.holds.held = nil
	e.holds.mu.Unlock()
	for _, h := range all {
		<-h.ready
		if h.err == nil {
			err = errors.Join(err, e.unlink(h.path))
		}
	}
	e.holds.tasks.Wait()
	if errors.Is(err, ipfs.ErrUnavailable) { // it was stopped first
		return nil
	}
	return err
}

// errNoLink is matched by errors about a Kubo that makes no links for whoever asks.
var errNoLink = errors.New("its MFS cannot be used")

// link makes the link to c. When it returns no garbage collection runs that began before.
// Errors match [ipfs.ErrNotFound], [ipfs.ErrUnavailable] or errNoLink.
func (e *Store) link(ctx context.Context, c cid.Cid, path string) error {
	ctx, cancel := context.WithTimeout(ctx, e.silence)
	defer cancel()
	e.tidy()
	err := e.exec(ctx, e.shell.Request("files/mkdir", heldDir).Option("parents", true))
	if err == nil {
		err = e.exec(ctx, e.shell.Request("files/cp", "/ipfs/"+c.String(), path).Option("offline", true))
	}
	if err == nil {
		if err = e.awaitGC(ctx); err != nil {
			e.background(func() { _ = e.unlink(path) }) // as in expire
		}
	}
	switch {
	case err == nil, errors.Is(err, ipfs.ErrNotFound), errors.Is(err, ipfs.ErrUnavailable):
		return err
	}
	return fmt.Errorf("%w: %w", errNoLink, err)
}

// awaitGC waits until Kubo collects no garbage: what it does to pins waits for that, and
// a pin that there cannot be is removed at no cost.
func (e *Store) awaitGC(ctx context.Context) error {
	nobodys, err := multihash.Encode([]byte(rand.Text() + rand.Text())[:32], multihash.SHA2_256)
	if err != nil {
		return err
	}
	err = e.unpin(ctx, cid.NewCidV1(cid.Raw, nobodys))
	if errors.Is(err, ipfs.ErrNotFound) {
		return nil
	}
	return err
}

func (e *Store) unlink(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), unlinkTimeout)
	defer cancel()
	err := e.exec(ctx, e.shell.Request("files/rm", path).Option("force", true))
	if errors.Is(err, ipfs.ErrNotFound) {
		return nil
	}
	return err
}

// background runs what Close waits for, unless it was closed.
func (e *Store) background(task func()) {
	e.holds.mu.Lock()
	defer e.holds.mu.Unlock()
	if !e.holds.closed {
		e.holds.tasks.Go(task)
	}
}

// tidy removes, once and in the background, links of processes that were killed.
func (e *Store) tidy() {
	e.holds.mu.Lock()
	tidied := e.holds.tidied
	e.holds.tidied = true
	e.holds.mu.Unlock()
	if tidied {
		return
	}
	e.background(func() {
		ctx, cancel := context.WithTimeout(context.Background(), unlinkTimeout)
		defer cancel()
		var list struct{ Entries []struct{ Name string } }
		if err := e.shell.Request("files/ls", heldDir).Exec(ctx, &list); err != nil {
			return // there is none yet, or whoever comes next does it
		}
		for _, entry := range list.Entries {
			made, _, _ := strings.Cut(entry.Name, "-")
			seconds, err := strconv.ParseInt(made, 10, 64)
			if err == nil && time.Since(time.Unix(seconds, 0)) > heldMost {
				_ = e.unlink(heldDir + "/" + entry.Name) // likewise
			}
		}
	})
}
