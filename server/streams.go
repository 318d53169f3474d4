package server

import (
	"context"
	"sync"
	"time"
)

const (
	// aheadBudget is how many blocks all streams together read ahead.
	aheadBudget = 256
	// slotPatience is how long a request waits for others to end.
	slotPatience = 10 * time.Second
)

// streams bounds what is held in memory of contents that come from elsewhere
// while they are sent on: the number of such contents, and what is read ahead
// of them. A content of the store in this process needs neither.
type streams struct {
	slots chan struct{}

	mu   sync.Mutex
	left int // of aheadBudget
}

func newStreams(limit int) *streams {
	return &streams{slots: make(chan struct{}, limit), left: aheadBudget}
}

// begin takes a place until ctx, that of the request, ends. It gives how many
// blocks to read ahead: want, or fewer where many share the budget, but not 0
// for want of more.
// The error has the code TOOMANYREQUESTS.
func (s *streams) begin(ctx context.Context, want int) (ahead int, err error) {
	wait := time.NewTimer(slotPatience)
	defer wait.Stop()
	select {
	case s.slots <- struct{}{}:
	case <-wait.C:
		return 0, errorf(codeTooMany, "%d blobs from elsewhere are being sent already: try again", cap(s.slots))
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	ahead = s.take(want)
	context.AfterFunc(ctx, func() {
		s.take(-ahead)
		<-s.slots
	})
	return ahead, nil
}

// take gives a part of what is left, but at least 1; less than 0 gives back.
func (s *streams) take(want int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if want > 0 {
		want = max(1, min(want, s.left/4))
	}
	s.left -= want
	return want
}
