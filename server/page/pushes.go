package page

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/image2ipfs/image2ipfs/oci"
)

const (
	maxPushes    = 20               // that are remembered
	listenerRoom = 16               // pushes that wait for one who listens
	beat         = 10 * time.Second // after which who listens hears something at least
)

// Push is an image that was pushed.
type Push struct {
	Time  time.Time `json:"time"`
	Name  string    `json:"name"` // "repository:tag", or the repository alone
	Root  string    `json:"root,omitempty"`
	Size  int64     `json:"size"`
	New   int64     `json:"newBytes"`
	Label string    `json:"label"` // sizes for humans
}

// Pushes tell of what is pushed to those who listen, and remember the last. They are safe
// for concurrent use; the zero value knows of none.
type Pushes struct {
	mu        sync.Mutex
	recent    []Push // newest first
	listeners map[chan Push]bool
	ended     bool
}

// Tell tells of a push. Who does not keep up misses it.
func (p *Pushes) Tell(push Push) {
	push.Label = fmt.Sprintf("%s, %s of it new", oci.BytesText(push.Size), oci.BytesText(push.New))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recent = slices.Insert(p.recent, 0, push)
	p.recent = p.recent[:min(len(p.recent), maxPushes)]
	for l := range p.listeners {
		select {
		case l <- push:
		default:
		}
	}
}

// Recent lists the last pushes, newest first.
func (p *Pushes) Recent() []Push {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.recent)
}

// End has all who listen go, and nobody come.
func (p *Pushes) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	for l := range p.listeners {
		close(l)
	}
	p.listeners = nil
}

func (p *Pushes) listen() (l chan Push, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil, false
	}
	if p.listeners == nil {
		p.listeners = map[chan Push]bool{}
	}
	l = make(chan Push, listenerRoom)
	p.listeners[l] = true
	return l, true
}

func (p *Pushes) leave(l chan Push) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.listeners, l)
}

// Stream tells a browser of pushes as they come (HTML, "Server-sent events"), of those that
// shown says may be seen, until r's context or the server ends. Nothing is sent, and
// false given, when that has ended.
func (p *Pushes) Stream(w http.ResponseWriter, r *http.Request, shown func(Push) bool) bool {
	l, ok := p.listen()
	if !ok {
		return false
	}
	defer p.leave(l)
	Protect(w.Header())
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w).Flush
	write := func(text string) bool {
		_, err := w.Write([]byte(text))
		return err == nil && flush() == nil
	}
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for alive := write(": pushes as they come\n\n"); alive; {
		select {
		case <-r.Context().Done():
			return true
		case <-ticker.C:
			alive = write(": still here\n\n")
		case push, open := <-l:
			if !open {
				return true
			}
			if !shown(push) {
				continue
			}
			data, err := json.Marshal(push)
			alive = err == nil && write("event: push\ndata: "+string(data)+"\n\n")
		}
	}
	return true
}
