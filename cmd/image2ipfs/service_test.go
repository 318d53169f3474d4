package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdService starts a pinning service that takes one token and sets $SERVICE to its URL.
// What is pinned there goes from queued to pinned, and fails when its name says so.
func cmdService(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: service TOKEN")
	}
	s := httptest.NewServer(&pinService{token: args[0]})
	ts.Defer(s.Close)
	ts.Setenv("SERVICE", s.URL)
}

type pinService struct {
	token string
	mu    sync.Mutex
	pins  []map[string]any
	next  int // ID
}

func (s *pinService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if r.Header.Get("Authorization") != "Bearer "+s.token {
		w.WriteHeader(http.StatusUnauthorized)
		check(json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"reason": "UNAUTHORIZED", "details": "no such token"}}))
		return
	}
	id := strings.TrimPrefix(r.URL.Path, "/pins/")
	at := slices.IndexFunc(s.pins, func(p map[string]any) bool { return p["requestid"] == id })
	var answer any
	switch {
	case r.Method == http.MethodPost:
		var pin map[string]any
		check(json.NewDecoder(r.Body).Decode(&pin))
		if at >= 0 {
			s.pins = slices.Delete(s.pins, at, at+1)
		}
		p := map[string]any{"requestid": strconv.Itoa(s.next), "status": "queued", "created": time.Now().UTC(), "pin": pin, "delegates": []string{}, "info": map[string]string{}}
		s.pins = append(s.pins, p)
		s.next++
		answer = p
	case r.Method == http.MethodDelete && at >= 0:
		s.pins = slices.Delete(s.pins, at, at+1)
		w.WriteHeader(http.StatusAccepted)
		return
	case at >= 0:
		p := s.pins[at]
		next := map[any]string{"queued": "pinning", "pinning": "pinned", "pinned": "pinned", "failed": "failed"}
		p["status"] = next[p["status"]]
		if name, _ := p["pin"].(map[string]any)["name"].(string); strings.Contains(name, "failing") {
			p["status"], p["info"] = "failed", map[string]string{"status_details": "lack of funds"}
		}
		answer = p
	default:
		found := []map[string]any{}
		for _, p := range s.pins {
			if cid := r.URL.Query().Get("cid"); cid == "" || cid == p["pin"].(map[string]any)["cid"] {
				found = append(found, p)
			}
		}
		answer = map[string]any{"count": len(found), "results": found}
	}
	check(json.NewEncoder(w).Encode(answer))
}

// The name of a service's pin has whole names alone.
func TestPinName(t *testing.T) {
	long := strings.Repeat("n", 120)
	for want, names := range map[string][]string{
		"image2ipfs:":                       nil,
		"image2ipfs:app:1,db:1":             {"app:1", "db:1"},
		"image2ipfs:a" + long + ",b" + long: {"a" + long, "b" + long, "c"},
		"image2ipfs:" + long + long + long:  {long + long + long, "b"}, // the service's client cuts it
	} {
		if got := pinName(names); got != want {
			t.Errorf("%q: %q, want %q", names, got, want)
		}
	}
}
