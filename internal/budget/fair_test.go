package budget

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// One who takes all that he can, under one name, leaves room for whoever comes next.
func TestFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFair("places", 64)
		greedy := 0
		var first func()
		for {
			release, ok := f.Try("greedy", 1)
			if !ok {
				break
			}
			if greedy++; first == nil {
				first = release
			}
		}
		if greedy != 32 {
			t.Errorf("one alone has %d of 64", greedy)
		}
		for range 10 {
			if _, ok := f.Try("honest", 1); !ok {
				t.Fatal("nothing is left for another")
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := f.Take(ctx, "greedy", 1); !errors.Is(err, ErrFull) {
			t.Errorf("got %v, want %v", err, ErrFull)
		}
		waits := make(chan error, 1)
		go func() {
			_, err := f.Take(t.Context(), "third", 1000) // as much as one alone gets
			waits <- err
		}()
		synctest.Wait()
		first()
		first() // twice gives back once
		if f.total != 41 {
			t.Errorf("%d are held", f.total)
		}
		for range 5 {
			f.take("x", 0)
		}
		f.mu.Lock()
		f.total, f.held = 0, map[string]int64{}
		close(f.freed)
		f.freed = make(chan struct{})
		f.mu.Unlock()
		if err := <-waits; err != nil {
			t.Error(err)
		}
	})
}
