package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// Bounds of uploads.
const (
	maxUploads, uploadsEach = 1024, 64 // that are open, of which one origin has uploadsEach
	uploadIdle              = 10 * time.Minute
	// busyAfter is when to ask again for an upload that another request is at.
	busyAfter = time.Second
	// uploadPatience is how long an upload waits for memory.
	uploadPatience = 30 * time.Second
	// writeBurst are the requests that write which one origin may send at once; after
	// them one each writePause. Each ends with what is on disk, so few more a second
	// are possible at all.
	writeBurst, writePause = 2000, 5 * time.Millisecond
	// writeCost is about what a request holds that brings a blob: blocks that are
	// cut, hashed and on their way to the disk. begunCost is what stays of it between
	// the requests of an upload.
	writeCost, begunCost = 5 << 20, 3 << 20 / 2
)

// uploads are those that are open. A restart ends them.
type uploads struct {
	life   *lifetime
	idle   time.Duration
	memory *budget.Budget
	writes *budget.Rates
	ended  *prometheus.CounterVec // by result

	mu   sync.Mutex
	open map[string]*upload // by ID
	each map[string]int     // by origin
}

// upload is a blob that is being pushed, in one request or several.
type upload struct {
	*pushed.Upload
	id, name, origin string
	timer            *time.Timer
	busy             bool         // a request has it; under uploads.mu
	used             atomic.Int64 // when it last had one; Unix nanoseconds
	release          func()       // what it holds between requests; nil before the first byte
}

func newUploads(life *lifetime, memory *budget.Budget) *uploads {
	return &uploads{
		life: life, idle: uploadIdle, open: map[string]*upload{}, each: map[string]int{},
		memory: memory, writes: budget.NewRates(writePause, writeBurst), ended: metricUploadsEnded.Counters("taken", "refused", "cancelled", "expired"),
	}
}

// count is how many are open.
func (u *uploads) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.open)
}

// note counts how an upload ended.
func (u *uploads) note(result string) { u.ended.WithLabelValues(result).Inc() }

// begin opens an upload, which the caller has until done or end.
func (u *uploads) begin(begin func(context.Context) *pushed.Upload, name, origin string) (*upload, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.open) >= maxUploads || u.each[origin] >= uploadsEach {
		return nil, errorf(codeTooMany, "%d uploads are open, %d of them yours; %d in all and %d from one address are taken: end some first", len(u.open), u.each[origin], maxUploads, uploadsEach)
	}
	up := &upload{Upload: begin(u.life.ctx), id: rand.Text(), name: name, origin: origin, busy: true}
	up.used.Store(time.Now().UnixNano())
	up.timer = time.AfterFunc(u.idle, func() { u.expire(up) })
	u.open[up.id] = up
	u.each[origin]++
	return up, nil
}

// take gives a request the upload of an ID.
func (u *uploads) take(id, name string) (*upload, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	up := u.open[id]
	if up == nil || up.name != name {
		return nil, errorf(codeUploadUnknown, "no upload %q to %q is open: it has ended, was idle for %s, or the server was restarted; begin again", clip(id), name, u.idle)
	}
	if up.busy {
		return nil, &apiError{code: codeTooMany, after: busyAfter, message: "another request is at this upload, or has been cut and its end is not known yet: ask again"}
	}
	up.busy = true
	return up, nil
}

// done gives an upload back, for the next request.
func (u *uploads) done(up *upload) {
	u.mu.Lock()
	defer u.mu.Unlock()
	up.busy = false
	up.used.Store(time.Now().UnixNano())
	up.timer.Reset(u.idle)
}

// end takes an upload out, which its caller has committed or cancels.
func (u *uploads) end(up *upload) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.open[up.id] == nil {
		return
	}
	up.timer.Stop()
	delete(u.open, up.id)
	budget.Less(u.each, up.origin, 1)
	if up.release != nil {
		up.release()
	}
}

// cancel ends an upload that its caller has.
func (u *uploads) cancel(up *upload) error {
	u.end(up)
	return up.Cancel()
}

// expire cancels an upload that nobody has.
func (u *uploads) expire(up *upload) {
	u.mu.Lock()
	if up.busy || u.open[up.id] == nil {
		u.mu.Unlock()
		return
	}
	up.busy = true
	u.mu.Unlock()
	u.note("expired")
	_ = u.cancel(up) // what is left is gc's
}

// close cancels all uploads; requests must have ended.
func (u *uploads) close() error {
	u.mu.Lock()
	var open []*upload
	for _, up := range u.open {
		open = append(open, up)
	}
	u.mu.Unlock()
	var errs []error
	for _, up := range open {
		errs = append(errs, u.cancel(up))
	}
	return errors.Join(errs...)
}

// hold waits for the memory that writing to an upload takes: an origin gets no more of
// it than it leaves to others.
func (u *uploads) hold(ctx context.Context, up *upload) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, uploadPatience)
	defer cancel()
	if up.release == nil {
		if up.release, err = u.keep(ctx, up); err != nil {
			return nil, errorf(codeTooMany, "%w", err)
		}
	}
	if release, err = u.memory.Writing.Take(ctx, writeCost); err != nil {
		return nil, errorf(codeTooMany, "%w", err)
	}
	return release, nil
}

// mayWrite refuses a request that writes of an origin that sends too many.
func (u *uploads) mayWrite(origin string) error {
	if after := u.writes.Try(origin); after > 0 {
		return &apiError{code: codeTooMany, after: after, message: fmt.Sprintf("more than %d requests that write came from this address at once, and more than %d a second after them", writeBurst, time.Second/writePause)}
	}
	return nil
}

// fits refuses what would make a blob of more than limit bytes.
func (up *upload) fits(more, limit int64) error {
	if more <= limit-up.Size() {
		return nil
	}
	return &apiError{code: codeSizeInvalid, status: http.StatusRequestEntityTooLarge, message: fmt.Sprintf("%d bytes of the blob have come, and %d more would be above the limit of %d", up.Size(), more, limit)}
}

// keep waits for the memory that an upload takes between requests. When another origin
// waits for that, one that nobody writes to ends.
func (u *uploads) keep(ctx context.Context, up *upload) (release func(), err error) {
	return u.memory.Begun.Take(budget.With(ctx, &budget.Holder{
		Origin: up.origin, Moved: up.lastUsed, Cut: func() { go u.expire(up) },
	}), begunCost)
}

// lastUsed is when a request last had the upload.
func (up *upload) lastUsed() time.Time { return time.Unix(0, up.used.Load()) }
