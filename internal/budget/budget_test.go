package budget

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// What strangers are given together must leave it much of its memory.
func TestSharesFit(t *testing.T) {
	b := New(0)
	sum := b.Requests + b.Messages.size
	for _, s := range []*Share{b.Reading, b.Decoding, b.Sending} {
		sum += s.Size()
	}
	if sum <= 0 || sum > Default*6/10 {
		t.Errorf("the shares have %d of %d bytes", sum, Default)
	}
}

// No more is held than there is, who waits gets it, and what is larger than all of
// it does not wait for ever.
func TestShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewShare("tests", 100)
		var mu sync.Mutex
		held, most, done := int64(0), int64(0), 0
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				n := int64(i * 5)
				release, err := s.Take(t.Context(), n)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				held += min(n, 100)
				most, done = max(most, held), done+1
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				held -= min(n, 100)
				mu.Unlock()
				release()
			})
		}
		all.Wait()
		if most > 100 || done != 50 {
			t.Errorf("%d bytes held at once, %d served", most, done)
		}
		release, ok := s.Try(100)
		if !ok {
			t.Fatal("nothing came back")
		}
		defer release()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Take(ctx, 1); !errors.Is(err, ErrFull) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, ErrFull)
		}
		if _, ok := s.Try(1); ok {
			t.Error("more than there is")
		}
	})
}
