package exchange

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Of many peers an error names those that failed, and those that say that they have all,
// before those that fetch the same.
func TestErrorNamesWhoFailed(t *testing.T) {
	m := newMachine(t, "machine", Limits{})
	j := &job{views: map[string]*view{}}
	m.Exchange.mu.Lock()
	defer m.Exchange.mu.Unlock()
	var all []Peer
	for i := range 20 {
		all = append(all, &link{from: m, to: &machine{id: fmt.Sprint("a fetcher ", i)}})
	}
	for _, id := range []string{"who fails", "who holds it"} {
		all = append(all, &link{from: m, to: &machine{id: id}})
	}
	m.connect(all)
	for _, p := range m.peers {
		j.view(p).state = fetching
	}
	j.view(m.peer("who fails")).state = holds
	j.view(m.peer("who holds it")).state = holds
	m.peer("who fails").failures[forBlocks] = 1
	if text := j.asked(m.Exchange, time.Now()); !strings.HasPrefix(text, "asked were who fails does not answer, who holds it says that it has all, a fetcher 0") || !strings.HasSuffix(text, ", and 14 more") {
		t.Error(text)
	}
}
