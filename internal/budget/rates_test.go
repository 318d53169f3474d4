package budget

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// Who does something too often waits as long as he is told, and nobody with him.
func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(6*time.Second, 3)
		for range 2 {
			for i := range 3 {
				if r.Wait("one") != 0 || r.Try("one") != 0 {
					t.Fatalf("number %d has to wait", i)
				}
			}
			after := r.Try("one")
			if after < 5*time.Second || after > 6*time.Second || r.Wait("one") != after {
				t.Errorf("wait %s", after)
			}
			if r.Try("other") != 0 {
				t.Error("another waits, too")
			}
			time.Sleep(after)
			if r.Try("one") != 0 || r.Try("one") == 0 {
				t.Error("after the pause there is not exactly one")
			}
			time.Sleep(time.Minute)
		}
		for i := range maxCounted + 1 {
			r.Wait(fmt.Sprint(i))
		}
		if len(r.of) > maxCounted {
			t.Errorf("%d are counted", len(r.of))
		}
	})
}
