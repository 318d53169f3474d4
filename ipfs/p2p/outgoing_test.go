package p2p

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/budget"
)

var errReset = errors.New("stream reset")

// Peers of one address that take nothing of what they asked for have all who write
// messages for two seconds, and then fewer: others get what they ask for. What is being
// written is charged.
func TestMessagesToWhoTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := budget.New(0)
		o := newOutgoing(memory.Answers, bitswapWorkers)
		data := make([]byte, 1<<20)
		ended := make(chan error, 100)
		stuck := func(origin string) {
			reset := make(chan struct{})
			cut := sync.OnceFunc(func() { close(reset) })
			go func() {
				_, err := o.write(&outMessage{origin: origin, cut: cut}, data, func([]byte) (int, error) {
					<-reset
					return 0, errReset
				})
				ended <- err
			}()
			synctest.Wait()
		}
		for range bitswapWorkers {
			stuck("attacker")
		}
		if held, _ := memory.Answers.Held(); held != bitswapWorkers<<20 {
			t.Errorf("%d bytes are charged for %d messages of 1 MiB", held, bitswapWorkers)
		}
		next := func() error { // the end of a message, or of the test where none comes
			select {
			case err := <-ended:
				return err
			case <-time.After(10 * stillTime):
				t.Fatal("no message ended")
				return nil
			}
		}
		if err := next(); !errors.Is(err, errReset) {
			t.Errorf("a message that stands still while all write: %v", err)
		}
		synctest.Wait() // all have looked: the honest one does not count as one more for them
		honest := &outMessage{origin: "honest"}
		if _, err := o.write(honest, data, func(p []byte) (int, error) { return len(p), nil }); err != nil {
			t.Errorf("another address: %v", err)
		}
		time.Sleep(5 * stillTime) // of synctest
		if len(ended) != 0 {
			t.Errorf("%v: a message was cut while there were others to write", <-ended)
		}
		stuck("attacker")
		if err := next(); !errors.Is(err, errSlow) {
			t.Errorf("one more to an address that is slow: %v, want errSlow", err)
		}
		stuck("another") // all write again, so one goes
		if err := next(); !errors.Is(err, errReset) {
			t.Errorf("a message that stands still while all write again: %v", err)
		}
		o.mu.Lock()
		for m := range o.writing {
			m.cut()
		}
		o.mu.Unlock()
	})
}

// A peer that takes what it is sent is never cut, however many there are.
func TestMessagesToWhoTakes(t *testing.T) {
	o := newOutgoing(budget.New(0).Answers, bitswapWorkers)
	data := make([]byte, 1<<20)
	for range 10 {
		taken := 0
		n, err := o.write(&outMessage{origin: "honest", cut: func() { t.Error("it was cut") }}, data, func(p []byte) (int, error) {
			taken += len(p)
			return len(p), nil
		})
		if err != nil || n != len(data) || taken != len(data) {
			t.Errorf("%d of %d bytes, %d told: %v", taken, len(data), n, err)
		}
	}
}
