package sources

import (
	"testing"
)

// Whatever is at hand is asked before anybody else is, in whichever order the
// places are named.
func TestOf(t *testing.T) {
	daemon, found := &fake{name: "daemon", get: lacking}, &fake{name: "daemon's peers", get: good}
	cache := &fake{name: "cache", get: good}
	s := Of(Options{}, Origin{}, Origin{Near: daemon, Far: found}, Origin{Near: cache})
	defer s.Close()
	var names []string
	for _, source := range s.Sources() {
		names = append(names, source.String())
	}
	if len(names) != 3 || names[0] != "daemon" || names[1] != "cache" || names[2] != "daemon's peers" {
		t.Errorf("asked in the order %q", names)
	}
	if _, err := s.Get(t.Context(), block(t)); err != nil || found.n.Load() > 0 {
		t.Errorf("%v; the daemon's peers were asked %d times", err, found.n.Load())
	}
}
