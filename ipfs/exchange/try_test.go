package exchange

import (
	"errors"
	"net/http"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/car"
)

// Who gives a block, who answers and lacks it, who sends another, and who says
// nothing are told apart, whatever this machine has itself.
func TestTry(t *testing.T) {
	gives, lacks, lies, fails, asks := newMachine(t, "a gives", Limits{}), newMachine(t, "b lacks", Limits{}), newMachine(t, "c lies", Limits{}), newMachine(t, "d fails", Limits{}), newMachine(t, "asks", Limits{})
	data := random(100, 1)
	c := gives.publish(data)
	asks.publish(data)
	evil := newMachine(t, "evil", Limits{})
	other := evil.publish(random(100, 2))
	lies.replace = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		out, err := car.NewWriter(w, other)
		if err == nil {
			err = out.Block(other, random(100, 2))
		}
		if err != nil {
			t.Error(err)
		}
	})
	fails.replace = http.NotFoundHandler()
	join(gives, lacks, lies, fails, asks)
	trials := asks.Try(t.Context(), c)
	for i, want := range []error{nil, ipfs.ErrNotFound, ipfs.ErrCorrupt, ipfs.ErrUnavailable} {
		if len(trials) != 4 || trials[i].Peer != []string{"a gives", "b lacks", "c lies", "d fails"}[i] || !errors.Is(trials[i].Err, want) {
			t.Fatalf("trial %d of %+v, want %v", i, trials, want)
		}
	}
	if gives.asked != 1 {
		t.Errorf("who gives was asked %d times", gives.asked)
	}
}
