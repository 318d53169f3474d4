package exchange

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/car"
)

// Handler answers peers, below [Path]. The RemoteAddr of a request must be the
// ID of the peer that makes it.
func (x *Exchange) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path+"{root}", x.answerState)
	mux.HandleFunc("POST "+Path+"{root}", x.answerBlocks)
	return mux
}

// rootOf reads the CID in a request's path; after false it has been answered.
func rootOf(w http.ResponseWriter, r *http.Request) (cid.Cid, bool) {
	text := r.PathValue("root")
	if len(text) <= maxCIDText {
		if root, err := cid.Decode(text); err == nil {
			return root, true
		}
	}
	http.Error(w, "the path must end in a CID", http.StatusBadRequest)
	return cid.Undef, false
}

func (x *Exchange) answerState(w http.ResponseWriter, r *http.Request) {
	root, ok := rootOf(w, r)
	if !ok {
		return
	}
	ctx := budget.With(r.Context(), &budget.Holder{Origin: x.origin(r.RemoteAddr)})
	release, ok := x.gate.look(ctx, r.RemoteAddr)
	if !ok {
		refuse(w)
		return
	}
	defer release()
	if r.Header.Get(headerFetching) == "1" {
		x.note(r.RemoteAddr, root, fetching)
	}
	w.Header().Set("Content-Type", "text/plain; charset=us-ascii")
	answer := x.tell(root)
	text := string(answer.state)
	if r.Header.Get(headerParts) == "1" {
		text = answer.text()
	}
	// It fails when who asks has gone.
	_, _ = io.WriteString(w, text) //nolint:gosec // words, numbers and base 64, as plain text
}

// refuse says that there is too much to do.
func refuse(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	http.Error(w, "too many requests", http.StatusTooManyRequests)
}

func (x *Exchange) answerBlocks(w http.ResponseWriter, r *http.Request) {
	root, ok := rootOf(w, r)
	if !ok {
		return
	}
	// Before a place is taken: whoever sends no request takes none.
	list, err := parseList(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a := &answer{x: x, w: w, control: http.NewResponseController(w)}
	a.moves()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	a.r = r.WithContext(budget.With(ctx, &budget.Holder{
		Origin: x.origin(r.RemoteAddr), Moved: func() time.Time { return time.Unix(0, a.moved.Load()) },
		Cut: func() { a.cut(cancel) },
	}))
	defer a.finish()
	isFetching := r.Header.Get(headerFetching) == "1"
	isRelay := r.URL.Query().Get(paramRelay) == "1" && isFetching && x.isFetching(root)
	release, ok := x.gate.enter(a.r.Context(), r.RemoteAddr, isRelay || len(list) == 1)
	if !ok {
		refuse(w)
		return
	}
	defer release()
	if !a.reserve(list[0]) {
		refuse(w)
		return
	}
	defer a.release()
	if isFetching {
		x.note(r.RemoteAddr, root, fetching)
	}
	if isRelay {
		a.from = x.relays(a.r.Context(), root, list)
	} else {
		x.paces.begin(a)
		defer func() { x.paces.end(a, a.blocks > 0) }()
	}
	w.Header().Set("Content-Type", car.MediaType+"; version=1; order=unk; dups=n")
	w.Header().Set(headerState, string(x.tellState(root)))
	if err := a.write(root, list); err != nil && r.Context().Err() == nil {
		x.log.Debug("an answer to a peer was cut off", "peer", r.RemoteAddr, "error", err)
		panic(http.ErrAbortHandler) // so that it is seen to be incomplete
	}
}

// answer is an answer to one request for blocks.
type answer struct {
	x       *Exchange
	r       *http.Request
	w       http.ResponseWriter
	control *http.ResponseController
	car     *car.Writer
	from    *job   // that gets what is missing; nil when nobody does
	first   func() // gives back the memory for the first block; nil when that is not held
	blocks  int
	bytes   int

	moved atomic.Int64 // when the peer last took a block; Unix nanoseconds
	mu    sync.Mutex
	ended bool
}

func (a *answer) moves() { a.moved.Store(time.Now().UnixNano()) }

// cut ends an answer that its peer does not take, since others wait.
func (a *answer) cut(cancel func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.ended {
		cancel()
		_ = a.control.SetWriteDeadline(time.Unix(1, 0)) // fails for recorders of tests only
	}
}

// finish tells that the connection may be another answer's from now on.
func (a *answer) finish() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
}

// reserve takes memory for the first block, when that is here; false when there
// is none for a while. Later it would be too late to say so.
func (a *answer) reserve(c cid.Cid) bool {
	n, err := a.x.store.Size(a.r.Context(), c)
	if err != nil {
		return true
	}
	ctx, cancel := context.WithTimeout(a.r.Context(), placePatience)
	defer cancel()
	a.first, err = a.x.gate.sending.Take(ctx, n)
	return err == nil
}

// release gives back what was reserved and not used.
func (a *answer) release() {
	if a.first != nil {
		a.first()
	}
}

// hold waits until there is memory for a block of the own store.
func (a *answer) hold(ctx context.Context, c cid.Cid) (done func(), err error) {
	if done, a.first = a.first, nil; done != nil {
		return done, nil
	}
	n, err := a.x.store.Size(ctx, c)
	if err != nil {
		return nil, errMissing
	}
	return a.x.gate.sending.Take(ctx, n)
}

func (a *answer) write(root cid.Cid, list []cid.Cid) (err error) {
	defer func() { a.x.out(a.r.RemoteAddr, a.blocks, a.bytes) }()
	if a.car, err = car.NewWriter(a.w, root); err != nil {
		return err
	}
	for _, c := range list {
		if err := a.one(c); err != nil && !errors.Is(err, errMissing) {
			return err
		}
	}
	return nil
}

// errMissing is matched by errors about blocks that are left out of an answer.
var errMissing = errors.New("left out")

// one sends a block, when it can be had.
func (a *answer) one(c cid.Cid) error {
	ctx := a.r.Context()
	if a.x.store.Has(ctx, c) {
		if err := a.local(ctx, c); !errors.Is(err, errMissing) {
			return err
		}
	}
	if a.from == nil {
		return errMissing
	}
	data, err := a.fetched(ctx, c)
	if errors.Is(err, errHere) {
		return a.local(ctx, c)
	}
	if err != nil {
		return err
	}
	return a.send(c, data)
}

// local sends a block of the own store.
func (a *answer) local(ctx context.Context, c cid.Cid) error {
	done, err := a.hold(ctx, c)
	if err != nil {
		return err
	}
	defer done()
	shown := false
	show := func(data []byte) error {
		if ipfs.IsChecked(a.x.store, c) {
			shown = true
			return a.send(c, data)
		}
		if err := ipfs.VerifyBlock(c, data); err != nil {
			a.x.log.Error("a block of the own store is damaged", "block", c.String(), "error", err)
			return errMissing
		}
		shown = true
		return a.send(c, data)
	}
	if v, ok := a.x.store.(ipfs.Viewer); ok {
		err = v.View(ctx, c, show)
	} else {
		var data []byte
		if data, err = a.x.store.Get(ctx, c); err == nil {
			err = show(data)
		}
	}
	if err != nil && !shown && ctx.Err() == nil {
		return errMissing
	}
	return err
}

func (a *answer) send(c cid.Cid, data []byte) error {
	if err := a.car.Block(c, data); err != nil {
		return err
	}
	a.moves()
	a.blocks++
	a.bytes += len(data)
	return nil
}

// awaitedEvery is how often a peer is told that blocks are on their way.
const awaitedEvery = time.Second

// fetched gets a block that this node fetches itself. While it does, and blocks
// come, the peer is told so.
func (a *answer) fetched(ctx context.Context, c cid.Cid) ([]byte, error) {
	w, err := a.x.await(c, byPeer)
	if errors.Is(err, errHere) {
		return nil, err
	}
	if err != nil {
		return nil, errMissing
	}
	defer a.x.leave(w)
	if err := a.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	still := time.NewTicker(awaitedEvery)
	defer still.Stop()
	for {
		select {
		case got := <-w.ch:
			if got.err != nil {
				return nil, errMissing
			}
			return got.data, nil
		case <-still.C:
			if !a.x.proceeds(a.from) {
				a.from = nil
				return nil, errMissing
			}
			if err := a.car.Block(awaited, nil); err != nil {
				return nil, err
			}
			if err := a.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
				return nil, err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-a.x.ctx.Done():
			return nil, errMissing
		}
	}
}
