package exchange

import (
	"fmt"
	"testing"
	"time"
)

// What peers tell of a file is kept as long as they are connected, and no more of it
// than the file has leaves.
func TestViewsGo(t *testing.T) {
	m := newMachine(t, "machine", Limits{})
	j := &job{views: map[string]*view{}, planned: true, leaves: 9}
	m.Exchange.mu.Lock()
	defer m.Exchange.mu.Unlock()
	m.queue = append(m.queue, j)
	defer func() { m.queue = nil }()
	var strangers []Peer
	for i := range 100 {
		other := &machine{id: fmt.Sprint("stranger ", i)}
		strangers = append(strangers, &link{from: m, to: other})
	}
	m.connect(strangers)
	for i, p := range strangers {
		told := told{state: none, has: make(bitmap, 1<<16), gets: make(bitmap, 1<<16)}
		if i == 0 {
			told.state = holds
		}
		v := j.view(m.peer(p.String()))
		if j.saw(v, told, time.Now()); cap(v.has) > 64 || cap(v.gets) > 64 || len(v.has) != 2 {
			t.Fatalf("%d and %d bytes are kept of what a peer tells of 9 leaves", cap(v.has), cap(v.gets))
		}
	}
	m.connect(nil)
	if len(j.views) != 1 || j.views["stranger 0"] == nil || j.views["stranger 0"].has != nil {
		t.Errorf("%d peers that have gone are remembered with what they told", len(j.views))
	}
}
