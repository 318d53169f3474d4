package server

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/budget"
)

// errCut is why work ends that stood still, or took long, while another origin
// waited for the memory that it holds.
var errCut = errorf(codeTooMany, "this took too long while others wait: try again")

// slotPatience is how long a request waits for others to end.
const slotPatience = 10 * time.Second

// holding is a request as one who holds memory: it can be cut.
type holding struct {
	moved atomic.Int64 // when its client last took or sent something; Unix nanoseconds
	begun atomic.Bool  // its answer

	mu    sync.Mutex
	ended bool
	cut   bool
	end   context.CancelCauseFunc
	stop  func() // what waits for the client, for good
}

// begin makes the holder of a request, and the context of what is done for it.
func (w *response) begin(ctx context.Context, origin string) context.Context {
	w.moved.Store(time.Now().UnixNano())
	ctx, w.end = context.WithCancelCause(ctx)
	w.stop = func() {
		past := time.Unix(1, 0)
		_ = w.control.SetReadDeadline(past) // fails for recorders of tests only
		if w.begun.Load() {
			_ = w.control.SetWriteDeadline(past)
		}
	}
	return budget.With(ctx, &budget.Holder{
		Origin: origin, Moved: func() time.Time { return time.Unix(0, w.moved.Load()) }, Cut: w.cutOff,
	})
}

// cutOff ends the request. An answer that has begun is cut, another one says why.
func (h *holding) cutOff() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return
	}
	h.cut = true
	h.end(errCut)
	h.stop()
}

// finish ends what can be cut; from then on the connection may be that of another
// request.
func (h *holding) finish() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	h.end(nil)
}

// wasCut tells whether others had no patience.
func (h *holding) wasCut() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cut
}

// unlessCut sets a deadline, which must not outlive a cut.
func (h *holding) unlessCut(set func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.cut {
		set()
	}
}

// awaitBody sets by when more of the request's body must have come.
func (w *response) awaitBody(by time.Time) {
	w.unlessCut(func() { _ = w.control.SetReadDeadline(by) }) // fails for recorders of tests only
}

// occupy takes n bytes of a share until ctx, that of the request, ends. The error has
// the code TOOMANYREQUESTS.
func occupy(ctx context.Context, share *budget.Share, n int64, what string) error {
	release, err := borrow(ctx, share, n, what)
	if err == nil {
		context.AfterFunc(ctx, release)
	}
	return err
}

// borrow is occupy for less than all of the request.
func borrow(ctx context.Context, share *budget.Share, n int64, what string) (release func(), err error) {
	patient, cancel := context.WithTimeout(ctx, slotPatience)
	defer cancel()
	release, err = share.Take(patient, n)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, errorf(codeTooMany, "%s already: try again: %w", what, err)
	}
	return release, nil
}
