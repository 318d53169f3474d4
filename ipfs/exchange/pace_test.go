package exchange

import (
	"testing"
	"testing/synctest"
	"time"
)

// What answers take at the moment is told by most of them: neither few that nobody takes,
// nor those that are long over, make others wait.
func TestPaceIsTheMedian(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const within = 5 * time.Second
		p := newPaces()
		if d := p.usual(within); d != 0 {
			t.Errorf("%s without answers", d)
		}
		var slow [3]answer
		for i := range slow {
			p.begin(&slow[i])
		}
		time.Sleep(time.Minute)
		if d := p.usual(within); d != time.Minute {
			t.Errorf("%s where all take a minute", d)
		}
		for range 4 {
			a := &answer{}
			p.begin(a)
			time.Sleep(time.Second)
			p.end(a, true)
		}
		if d := p.usual(within); d != time.Second {
			t.Errorf("%s where most take a second", d)
		}
		for i := range slow {
			p.end(&slow[i], false)
		}
		if time.Sleep(within + time.Second); p.usual(within) != 0 || len(p.under)+len(p.took) > 0 {
			t.Errorf("%s of what is long over", p.usual(within))
		}
	})
}
