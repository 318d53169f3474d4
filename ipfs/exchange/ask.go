package exchange

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/car"
)

const (
	stateTimeout = 3 * time.Second // for an answer to GET
	maxAwaiting  = maxPatience     // for which a peer may say that blocks are on their way
	maxState     = 64              // bytes of an answer to GET
	// minProgress are the bytes that have to come in each Stall, unless a block is complete,
	// from who is only slow because many share what he can send. Who sends no more on
	// purpose is told by others, who are faster.
	minProgress = 4 << 10
)

// askState asks a peer what it has of the DAG under root. Errors match
// [ipfs.ErrUnavailable].
func (x *Exchange) askState(ctx context.Context, rt http.RoundTripper, root cid.Cid) (state, error) {
	t, err := x.askTold(ctx, rt, root, false, stateTimeout)
	return t.state, err
}

// askTold asks a peer what it has of the DAG under root; for a job of this node, by
// which both know of each other, which parts as well. The answer is waited for so long
// at most. Errors match [ipfs.ErrUnavailable].
func (x *Exchange) askTold(ctx context.Context, rt http.RoundTripper, root cid.Cid, isFetching bool, limit time.Duration) (told, error) {
	most := int64(maxState)
	if isFetching {
		most = maxTold
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	resp, err := x.send(ctx, rt, http.MethodGet, root, "", isFetching, nil)
	if err != nil {
		return told{state: none}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return told{state: none}, fmt.Errorf("%w: state of %s: %w", ipfs.ErrUnavailable, root, err)
	}
	return parseTold(string(text)), nil
}

// parseState takes what is not known as none, so that there can be other states.
func parseState(text string) state {
	switch s := state(strings.TrimSpace(text)); s {
	case some, fetching, holds:
		return s
	}
	return none
}

// request is one list of blocks that a peer is asked for.
type request struct {
	root  cid.Cid
	cids  []cid.Cid
	relay bool // the peer is to get what it lacks
	// fetching says that this node fetches the DAG itself.
	fetching bool
	// yield gets each block as it comes, checked and asked for.
	yield func(c cid.Cid, data []byte) error
	// moved, when it is not nil, is told that the peer sends: bytes, or that blocks are on
	// their way to it.
	moved func(bytes bool)
	from  *peer       // counts what it sends; nil for nobody
	came  func(n int) // when it is not nil, is told of all bytes
	// shares lets the answer stand still while the peer sends others.
	shares bool
	state  state // of the peer, with its answer
}

// ask gets blocks from a peer. Blocks that it does not have are left out. Errors
// match [ipfs.ErrUnavailable], errBusy, or [ipfs.ErrCorrupt] when it sends a
// block that is false or was not asked for; or they are those of ctx and yield.
func (x *Exchange) ask(ctx context.Context, rt http.RoundTripper, r *request) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var last atomic.Int64 // when bytes came; Unix nanoseconds
	last.Store(time.Now().UnixNano())
	goesOn := func() bool { return false }
	if r.shares {
		goesOn = x.shared(r.from, func() time.Time { return time.Unix(0, last.Load()) })
	}
	stall := newIdle(x.limits.Stall, goesOn, func() { cancel(errStalled) })
	defer stall.stop()
	query := ""
	if r.relay {
		query = paramRelay + "=1"
	}
	body := strings.NewReader(formatList(r.cids))
	resp, err := x.send(ctx, rt, http.MethodPost, r.root, query, r.fetching, body)
	if err != nil {
		return stalled(ctx, err)
	}
	defer resp.Body.Close()
	r.state = parseState(resp.Header.Get(headerState))
	proceeds := func(bytes bool) {
		stall.moves()
		if r.moved != nil {
			r.moved(bytes)
		}
	}
	w := wanted{left: make(map[string]bool, len(r.cids)), relay: r.relay, last: time.Now(), proceeds: proceeds, yield: r.yield}
	for _, c := range r.cids {
		w.left[string(c.Hash())] = true
	}
	content := &watched{r: resp.Body, more: func() { proceeds(true) }, came: func(n int) {
		last.Store(time.Now().UnixNano())
		x.read.Add(int64(n))
		if r.from != nil {
			r.from.read.Add(int64(n))
		}
		if r.came != nil {
			r.came(n)
		}
	}}
	return stalled(ctx, car.Read(bufio.NewReaderSize(content, 64<<10), w.take))
}

var errStalled = fmt.Errorf("%w: the answer stands still", ipfs.ErrUnavailable)

// stalled puts the reason for which ctx was ended in place of what came of it.
func stalled(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errStalled) {
		return errStalled
	}
	return err
}

// wanted are the blocks that an answer may have.
type wanted struct {
	left     map[string]bool  // by multihash
	relay    bool             // blocks may be said to be on their way
	last     time.Time        // when a block came
	proceeds func(bytes bool) // is told of each section
	yield    func(c cid.Cid, data []byte) error
}

func (w *wanted) take(c cid.Cid, data []byte) error {
	key := string(c.Hash())
	w.proceeds(len(data) > 0)
	if w.relay && c.Equals(awaited) && !w.left[key] {
		if time.Since(w.last) > maxAwaiting {
			return errStalled
		}
		return nil
	}
	if !w.left[key] {
		return fmt.Errorf("%w: block %s was not asked for", ipfs.ErrCorrupt, c)
	}
	delete(w.left, key)
	w.last = time.Now()
	return w.yield(c, data)
}

// watched tells each time that minProgress bytes were read, so that a peer that
// sends a little now and then is taken to stand still, and of all bytes for whoever
// knows what to make of few.
type watched struct {
	r    io.Reader
	more func()
	came func(n int)
	read int // since it last told
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if n > 0 {
		w.came(n)
	}
	if w.read += n; w.read >= minProgress {
		w.read = 0
		w.more()
	}
	return n, err
}

// send makes a request and gives an answer whose status is 200.
func (x *Exchange) send(ctx context.Context, rt http.RoundTripper, method string, root cid.Cid, query string, isFetching bool, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://peer"+Path+root.String()+"?"+query, body)
	if err != nil {
		return nil, err
	}
	if isFetching {
		req.Header.Set(headerFetching, "1")
		req.Header.Set(headerParts, "1")
	}
	if body != nil {
		req.Header.Set("Content-Type", listType)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ipfs.ErrUnavailable, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	err = fmt.Errorf("%w: it answers %s", ipfs.ErrUnavailable, resp.Status)
	if resp.StatusCode == http.StatusTooManyRequests {
		err = fmt.Errorf("%w: %w", errBusy, err)
	}
	return nil, errors.Join(err, resp.Body.Close())
}
