package names

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// However many names strangers ask for, a bounded number of questions waits, and none
// that nobody waits for while others do.
func TestTooManyQuestions(t *testing.T) {
	r := resolver(t, newStore(t), &place{name: "slow", wait: make(chan struct{})})
	var all []*question
	for i := range maxAsking + maxWaiting {
		q, err := r.ask(fmt.Sprint("name", i), true)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, q)
	}
	if _, err := r.ask("more", true); !errors.Is(err, ipfs.ErrUnavailable) {
		t.Fatalf("one more: %v", err)
	}
	if q, err := r.ask("name0", true); err != nil || q != all[0] {
		t.Errorf("one that is asked already: %v", err)
	}
	r.leave(all[0])
	if all[0].ctx.Err() != nil {
		t.Error("it is dropped though somebody waits for it")
	}
	r.leave(all[0])
	if all[0].ctx.Err() == nil {
		t.Error("nobody waits for it, and it goes on")
	}
	if _, err := r.ask("name0", true); err != nil {
		t.Errorf("asked again: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.await(ctx, "name1", false); !errors.Is(err, ipfs.ErrUnavailable) {
		t.Error(err)
	}
	if all[1].wanted != 1 {
		t.Errorf("%d wait for what one waits for", all[1].wanted)
	}
}

// A question that nobody waits for any more gives its slot to who waits, and only then.
func TestSlotsOfAbandonedQuestions(t *testing.T) {
	r := resolver(t, newStore(t), &place{name: "slow", wait: make(chan struct{})})
	var all []*question
	for i := range maxAsking {
		q, err := r.ask(fmt.Sprint("name", i), i > 0)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, q)
	}
	if all[0].ctx.Err() != nil {
		t.Error("it is dropped though there are slots")
	}
	if _, err := r.ask("more", true); err != nil {
		t.Fatal(err)
	}
	<-all[0].done
	for _, q := range all[1:] {
		if q.ctx.Err() != nil {
			t.Error("one that somebody waits for is dropped")
		}
	}
	if _, why := r.whyNot("name0"); why != nil {
		t.Errorf("that it was dropped is remembered: %v", why)
	}
}

// Who asks for many names has the oldest forgotten, and nothing else.
func TestForgetOldest(t *testing.T) {
	r := NewResolver(newStore(t), Options{Domains: []string{"example.com"}})
	defer r.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entry("example.com").link = link{value: value(0), got: time.Now()}
	r.entry("running").running = &question{}
	for i := range maxAsked {
		r.entry(fmt.Sprint("name", i))
	}
	if r.asked["example.com"] == nil || r.asked["running"] == nil || r.asked["name0"] != nil || r.asked["name1"] == nil || len(r.order) != maxAsked {
		t.Errorf("%d are known", len(r.order))
	}
}

// A record leads to no domain but those that its owner has listed.
func TestRecordLeadsToDomain(t *testing.T) {
	k := created(t, newStore(t))
	looked := 0
	for domain, want := range map[string]error{"listed.example.com": nil, "other.example.com": ErrNoRoot} {
		r := NewResolver(newStore(t), Options{
			Sources: []ipfs.RecordSource{&place{name: "g", raw: signed(t, k, "/ipns/"+domain, 1).Raw}}, Domains: []string{"listed.example.com"},
			DNS: func(context.Context, string) ([]string, error) {
				looked++
				return []string{"dnslink=" + value(0)}, nil
			},
		})
		defer r.Close()
		if m, err := r.Find(t.Context(), k.Name); !errors.Is(err, want) {
			t.Errorf("%s: %+v, %v", domain, m, err)
		}
	}
	if looked != 1 {
		t.Errorf("DNS was asked %d times", looked)
	}
}

// Who goes away while DNS is asked does not have others told that it does not answer.
func TestDNSAskerGoesAway(t *testing.T) {
	r := NewResolver(newStore(t), Options{Domains: []string{"example.com"}, DNS: func(ctx context.Context, _ string) ([]string, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return []string{"dnslink=" + value(0)}, nil
	}})
	defer r.Close()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Find(gone, "example.com"); !errors.Is(err, ipfs.ErrUnavailable) {
		t.Errorf("who went away: %v", err)
	}
	if m, err := r.Find(t.Context(), "example.com"); err != nil || m.Root.String() != roots[0] || m.Stale != nil {
		t.Errorf("who asks next: %+v, %v", m, err)
	}
}
