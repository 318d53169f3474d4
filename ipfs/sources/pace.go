package sources

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// minRate is how many bytes a second a source must give in the long run. It is
// far below any link, for many blocks share one, yet it ends what drips for ever.
const minRate = 4 << 10

// pace ends the wait for a block that stands still. A source that tells of its
// progress is waited for while bytes come, and may take as long as minRate
// allows; how long others take for the whole block is all there is to see.
type pace struct {
	silence time.Duration // how long nothing may come
	began   time.Time
	timer   *time.Timer

	mu    sync.Mutex
	bytes int
}

// late is why a block was given up.
type late struct {
	silence time.Duration
	bytes   int
}

func (l late) Error() string {
	if l.bytes == 0 {
		return fmt.Sprintf("nothing came for %s", l.silence)
	}
	return fmt.Sprintf("it stands still, or is too slow, after %d bytes", l.bytes)
}
func (l late) Timeout() bool        { return true }
func (l late) Is(target error) bool { return target == context.DeadlineExceeded }

// paced gives a context that ends, with a cause that matches
// [context.DeadlineExceeded], when a block is too late. stop must be called.
func paced(ctx context.Context, silence time.Duration) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	p := &pace{silence: silence, began: time.Now()}
	p.timer = time.AfterFunc(silence, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		cancel(late{silence, p.bytes})
	})
	return ipfs.WithProgress(ctx, p.moved), func() {
		p.timer.Stop()
		cancel(nil)
	}
}

// moved puts the end off.
func (p *pace) moved(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes += n
	earned := time.Duration(p.bytes) * time.Second / minRate
	if p.timer.Stop() { // else it is over
		p.timer.Reset(min(p.silence, time.Until(p.began.Add(p.silence+earned))))
	}
}
