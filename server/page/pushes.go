package page

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
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
	When  string    `json:"when"`  // the time for humans
	ID    string    `json:"-"`     // tells it from all others, of other runs of the server too
}

// Pushes tell of what is pushed to those who listen, and remember the last. They are safe
// for concurrent use; the zero value knows of none.
type Pushes struct {
	mu        sync.Mutex
	recent    []Push // newest first
	listeners map[chan Push]bool
	ended     bool
	run       string // tells this run from others
	told      int
}

// Tell tells of a push. Who does not keep up misses it.
func (p *Pushes) Tell(push Push) {
	push.Label = fmt.Sprintf("%s, %s of it new", oci.BytesText(push.Size), oci.BytesText(push.New))
	push.When = dateText(push.Time)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == "" {
		p.run = strconv.FormatInt(time.Now().UnixNano(), 36)
	}
	p.told++
	push.ID = fmt.Sprintf("%s-%d", p.run, p.told)
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

// listen has l told of what comes, and gives what came behind the push with the ID after,
// oldest first: all that is remembered where that is not, and nothing for nil.
func (p *Pushes) listen(after *string) (l chan Push, missed []Push, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil, nil, false
	}
	if p.listeners == nil {
		p.listeners = map[chan Push]bool{}
	}
	l = make(chan Push, listenerRoom)
	p.listeners[l] = true
	if after != nil {
		missed = slices.Clone(p.recent)
		if seen := slices.IndexFunc(missed, func(push Push) bool { return push.ID == *after }); seen >= 0 {
			missed = missed[:seen]
		}
		slices.Reverse(missed)
	}
	return l, missed, true
}

// seen is the ID of the last push that a browser knows of: what it heard last (HTML, "The
// Last-Event-ID header"), else what its document has; "" for none, nil where it does not say.
func seen(r *http.Request) *string {
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		return &id
	}
	if q := r.URL.Query(); q.Has("after") {
		id := q.Get("after")
		return &id
	}
	return nil
}

func (p *Pushes) leave(l chan Push) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.listeners, l)
}

// Stream tells a browser of pushes as they come (HTML, "Server-sent events"), of those that
// shown says may be seen, until r's context or the server ends; before these, of those that it
// missed, when it says which it knows. Nothing is sent, and false given, when the server has
// ended.
func (p *Pushes) Stream(w http.ResponseWriter, r *http.Request, shown func(Push) bool) bool {
	l, missed, ok := p.listen(seen(r))
	if !ok {
		return false
	}
	defer p.leave(l)
	Protect(w.Header())
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return true
	}
	flush := http.NewResponseController(w).Flush
	write := func(text string) bool {
		_, err := w.Write([]byte(text))
		return err == nil && flush() == nil
	}
	tell := func(push Push) bool {
		if !shown(push) {
			return true
		}
		data, err := json.Marshal(push)
		return err == nil && write("id: "+push.ID+"\nevent: push\ndata: "+string(data)+"\n\n")
	}
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	alive := write(": pushes as they come\n\n")
	for _, push := range missed {
		alive = alive && tell(push)
	}
	for alive {
		select {
		case <-r.Context().Done():
			return true
		case <-ticker.C:
			alive = write(": still here\n\n")
		case push, open := <-l:
			alive = open && tell(push)
		}
	}
	return true
}
