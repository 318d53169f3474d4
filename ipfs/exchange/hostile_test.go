package exchange

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs/car"
)

// claims answers that it holds everything, and blocks by give.
func claims(give func(w http.ResponseWriter, r *http.Request, root cid.Cid, list []cid.Cid)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path+"{root}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, string(holds)) })
	mux.HandleFunc("POST "+Path+"{root}", func(w http.ResponseWriter, r *http.Request) {
		root, _ := cid.Decode(r.PathValue("root"))
		list, err := parseList(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		give(w, r, root, list)
	})
	return mux
}

// forever writes until the client has gone.
func forever(w http.ResponseWriter, r *http.Request, write func() error) {
	for r.Context().Err() == nil && write() == nil {
		_ = http.NewResponseController(w).Flush()
	}
}

// Whatever a peer does, the file comes from another, and what is wrong never.
func TestHostilePeers(t *testing.T) {
	if testing.Short() {
		t.Skip(starves)
	}
	for name, test := range map[string]struct {
		give   func(w http.ResponseWriter, r *http.Request, root cid.Cid, list []cid.Cid)
		banned bool
	}{
		"sends false blocks": {banned: true, give: func(w http.ResponseWriter, _ *http.Request, root cid.Cid, list []cid.Cid) {
			c, _ := car.NewWriter(w, root)
			_ = c.Block(list[0], []byte("something else"))
		}},
		"sends other blocks": {banned: true, give: func(w http.ResponseWriter, r *http.Request, root cid.Cid, _ []cid.Cid) {
			c, _ := car.NewWriter(w, root)
			data := []byte("nobody asked for this")
			other, _ := cid.V1Builder{Codec: cid.Raw, MhType: 0x12}.Sum(data)
			forever(w, r, func() error { return c.Block(other, data) })
		}},
		"floods": {banned: true, give: func(w http.ResponseWriter, r *http.Request, _ cid.Cid, _ []cid.Cid) {
			endless := make([]byte, 64<<10)
			for i := range endless {
				endless[i] = 0x7f
			}
			forever(w, r, func() error { _, err := w.Write(endless); return err })
		}},
		"stalls": {give: func(w http.ResponseWriter, r *http.Request, root cid.Cid, _ []cid.Cid) {
			_, _ = car.NewWriter(w, root)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}},
		"does not answer": {give: func(_ http.ResponseWriter, r *http.Request, _ cid.Cid, _ []cid.Cid) { <-r.Context().Done() }},
		"gives nothing": {give: func(w http.ResponseWriter, _ *http.Request, root cid.Cid, _ []cid.Cid) {
			_, _ = car.NewWriter(w, root)
		}},
		"fails": {give: func(w http.ResponseWriter, _ *http.Request, _ cid.Cid, _ []cid.Cid) {
			http.Error(w, "no", http.StatusInternalServerError)
		}},
		"is busy": {give: func(w http.ResponseWriter, _ *http.Request, _ cid.Cid, _ []cid.Cid) { refuse(w) }},
	} {
		t.Run(name, func(t *testing.T) {
			good, bad, puller := newMachine(t, "good", Limits{}), newMachine(t, "bad", Limits{}), newMachine(t, "puller", Limits{Stall: 300 * time.Millisecond})
			data := random(12<<20, 20)
			c := good.publish(data)
			bad.replace = claims(test.give)
			join(good, puller)
			join(bad, puller)
			puller.mustFetch(c, data)
			puller.Exchange.mu.Lock()
			p := puller.peer("bad")
			banned := time.Now().Before(p.banned)
			puller.Exchange.mu.Unlock()
			if s := puller.Stats(); (s.Banned == 1) != test.banned || (s.False > 0) != test.banned {
				t.Errorf("told are %d that are not asked, and %d false answers", s.Banned, s.False)
			}
			if test.banned && !banned {
				t.Error("it is still asked")
			} else if banned && !test.banned {
				t.Error("it is banned")
			}
		})
	}
}

// A liar is not asked again, for single blocks either.
func TestLiarIsLeft(t *testing.T) {
	bad, good, puller := newMachine(t, "bad", Limits{}), newMachine(t, "good", Limits{}), newMachine(t, "puller", Limits{})
	bad.replace = claims(func(w http.ResponseWriter, _ *http.Request, root cid.Cid, list []cid.Cid) {
		c, _ := car.NewWriter(w, root)
		_ = c.Block(list[0], []byte("something else"))
	})
	join(good, puller)
	join(bad, puller)
	for i := range uint64(10) {
		data := random(1000, 30+i)
		c := good.publish(data)
		if got, err := puller.Get(t.Context(), c); err != nil || string(got) != string(data) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
	bad.mu.Lock()
	defer bad.mu.Unlock()
	if bad.asked > 1 {
		t.Errorf("the liar was asked %d times", bad.asked)
	}
}
