package pinning_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/pinning"
)

const token = "a-secret-token"

// service is a pinning service in memory.
type service struct {
	mu     sync.Mutex
	pins   []map[string]any // the newest first
	steps  []string         // statuses that come one after another
	info   map[string]string
	page   int
	odd    string // CID of the step "odd"
	posted []map[string]any
	paths  []string // of posted
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	fail := func(code int, reason string) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"reason": reason, "details": "the details"}})
	}
	if r.Header.Get("Authorization") != "Bearer "+token {
		fail(http.StatusUnauthorized, "UNAUTHORIZED")
		return
	}
	switch {
	case r.Method == http.MethodPost:
		var pin map[string]any
		_ = json.NewDecoder(r.Body).Decode(&pin)
		s.posted, s.paths = append(s.posted, pin), append(s.paths, r.URL.Path)
		w.WriteHeader(http.StatusAccepted)
		_ = json.NewEncoder(w).Encode(s.status(pin, "queued"))
	case r.Method == http.MethodDelete && strings.HasSuffix(r.URL.Path, "/pins/known"):
		w.WriteHeader(http.StatusAccepted)
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/pins/known"):
		step := s.steps[0]
		if len(s.steps) > 1 {
			s.steps = s.steps[1:]
		}
		if step == "down" {
			fail(http.StatusServiceUnavailable, "DOWN")
			return
		}
		if step == "odd" {
			_ = json.NewEncoder(w).Encode(s.status(map[string]any{"cid": s.odd}, "queued"))
			return
		}
		_ = json.NewEncoder(w).Encode(s.status(s.posted[0], step))
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/pins"):
		left := s.pins
		if before := r.URL.Query().Get("before"); before != "" {
			at, _ := time.Parse(time.RFC3339Nano, before)
			left = slices.DeleteFunc(slices.Clone(left), func(p map[string]any) bool { return !p["created"].(time.Time).Before(at) })
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"count": len(left), "results": left[:min(len(left), s.page)]})
	default:
		fail(http.StatusNotFound, "NOT_FOUND")
	}
}

func (s *service) status(pin map[string]any, status string) map[string]any {
	return map[string]any{"requestid": "known", "status": status, "created": time.Now().UTC(), "pin": pin, "delegates": []string{"/ip4/192.0.2.1/tcp/4001"}, "info": s.info}
}

func start(t *testing.T, s *service, token string) *pinning.Client {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return pinning.New(pinning.Service{Name: "test", Endpoint: server.URL + "/psa", Token: token})
}

func root(t *testing.T, text string) cid.Cid {
	t.Helper()
	hash, err := multihash.Sum([]byte(text), multihash.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	return cid.NewCidV1(cid.DagProtobuf, hash)
}

// A pin has a name and origins, is told of as it goes on, and of a moment without an answer,
// and ends.
func TestPin(t *testing.T) {
	s := &service{steps: []string{"queued", "pinning", "down", "pinned"}}
	c := start(t, s, token)
	p, err := c.Add(t.Context(), root(t, "image"), "image2ipfs:"+strings.Repeat("long", 100), []string{"/ip4/192.0.2.7/tcp/4001/p2p/me"})
	if err != nil || p.Status != pinning.Queued || len(p.Delegates) != 1 {
		t.Fatalf("%+v %v", p, err)
	}
	var told []string
	p, err = c.Wait(t.Context(), p, func(p pinning.Pin) { told = append(told, string(p.Status)) })
	if err != nil || p.Status != pinning.Pinned || strings.Join(told, " ") != "queued pinning pinning pinned" {
		t.Errorf("%+v %v, told %q", p, err, told)
	}
	if name := s.posted[0]["name"].(string); len(name) != 255 || !strings.HasPrefix(name, "image2ipfs:") {
		t.Errorf("the name is %q", name)
	}
	if _, err := c.Replace(t.Context(), p.ID, root(t, "image"), "image2ipfs:app:1", []string{"/ip4/192.0.2.8/tcp/4001/p2p/me"}); err != nil {
		t.Error(err)
	}
	if got := s.posted[1]; s.paths[1] != "/psa/pins/known" || got["name"] != "image2ipfs:app:1" || fmt.Sprint(got["origins"]) != "[/ip4/192.0.2.8/tcp/4001/p2p/me]" || got["cid"] != root(t, "image").String() {
		t.Errorf("replaced at %s by %v", s.paths[1], got)
	}
	if err := c.Remove(t.Context(), p.ID); err != nil {
		t.Error(err)
	}
	if err := c.Remove(t.Context(), "other"); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("another: %v", err)
	}
}

// What fails says what the service says of it; a wrong token, one who is not there, and
// what is no service are told apart, and no error has the token.
func TestFailures(t *testing.T) {
	s := &service{steps: []string{"failed"}, info: map[string]string{"status_details": "lack of funds"}}
	c := start(t, s, token)
	p, err := c.Add(t.Context(), root(t, "image"), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Wait(t.Context(), p, func(pinning.Pin) {}); !errors.Is(err, pinning.ErrFailed) || !strings.Contains(err.Error(), "lack of funds") {
		t.Errorf("failed: %v", err)
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/redirects/pins" {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
			return
		}
		_, _ = fmt.Fprint(w, "<html>")
	}))
	defer other.Close()
	for name, test := range map[string]struct {
		endpoint, token string
		want            error
		says            string
	}{
		"wrong token":  {"", "another-secret-token", pinning.ErrToken, "401 Unauthorized: UNAUTHORIZED the details"},
		"nobody":       {gone.URL, token, ipfs.ErrUnavailable, "does not answer"},
		"something":    {other.URL, token, ipfs.ErrUnavailable, ""},
		"goes on":      {other.URL + "/redirects", token, nil, "302"},
		"no such path": {"", token, ipfs.ErrNotFound, "404"},
	} {
		server := httptest.NewServer(s)
		endpoint := test.endpoint
		if endpoint == "" {
			endpoint = server.URL
		}
		c := pinning.New(pinning.Service{Name: "test", Endpoint: endpoint, Token: test.token})
		_, err := c.List(t.Context())
		if name == "no such path" {
			_, err = c.Get(t.Context(), "other")
		}
		if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
		server.Close()
	}
}

// All pins are listed, however few come at once, and a service that never comes to an end
// is not asked for ever.
func TestList(t *testing.T) {
	s := &service{page: 3}
	for i := range 10 {
		s.pins = append(s.pins, map[string]any{
			"requestid": fmt.Sprint(i), "status": "pinned", "created": time.Unix(int64(1000-i), 0).UTC(), "delegates": []string{},
			"pin": map[string]any{"cid": root(t, fmt.Sprint(i)).String(), "name": fmt.Sprint("n", i)},
		})
	}
	all, err := start(t, s, token).List(t.Context())
	if err != nil || len(all) != 10 || all[9].Name != "n9" {
		t.Errorf("%d pins: %v", len(all), err)
	}
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"count": 1000, "results": s.pins[:1]})
	}))
	defer endless.Close()
	all, err = pinning.New(pinning.Service{Name: "test", Endpoint: endless.URL, Token: token}).List(t.Context())
	if !errors.Is(err, ipfs.ErrUnavailable) || !strings.Contains(err.Error(), "has 1000 pins and gives 1") {
		t.Errorf("endless: %d pins: %v", len(all), err)
	}
	for same, want := range map[int]int{3: 10, 4: 0} { // of three that come at once
		for i := range s.pins {
			s.pins[i]["created"] = time.Unix(int64(1000-i), 0).UTC()
			if i >= 2 && i < 2+same-1 {
				s.pins[i]["created"] = s.pins[1]["created"]
			}
		}
		if all, err := start(t, s, token).List(t.Context()); len(all) != want || (err == nil) != (want > 0) {
			t.Errorf("%d of one time: %d pins: %v", same, len(all), err)
		}
	}
}

// Who waits for a pin is told that no good answer comes, and does not wait for ever; an
// answer about something else is none.
func TestWaitWithoutAnswers(t *testing.T) {
	s := &service{steps: []string{"down", "queued", "odd"}, odd: root(t, "other").String()}
	c := start(t, s, token)
	p, err := c.Add(t.Context(), root(t, "image"), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	_, err = c.Wait(t.Context(), p, func(p pinning.Pin) {
		text := string(p.Status)
		if p.Err != nil {
			text = p.Err.Error()
		}
		told = append(told, text)
	})
	if !errors.Is(err, ipfs.ErrUnavailable) || !strings.Contains(err.Error(), root(t, "other").String()) || !strings.Contains(err.Error(), p.CID.String()) {
		t.Error(err)
	}
	if len(told) != 4 || !strings.Contains(told[1], "503") || told[2] != "queued" || !strings.Contains(told[3], "no answer of a pinning service") {
		t.Errorf("told %q", told)
	}
	s.steps = []string{"down"}
	c.SetPatience(time.Millisecond)
	if _, err := c.Wait(t.Context(), p, func(pinning.Pin) {}); !errors.Is(err, ipfs.ErrUnavailable) || !strings.Contains(err.Error(), "pin ls --service test") {
		t.Error(err)
	}
}

// Services are kept in files that nobody else may read, and a token goes with its service.
func TestServices(t *testing.T) {
	dir := t.TempDir()
	s := pinning.NewServices(dir)
	one := pinning.Service{Name: "one", Endpoint: "https://pins.example/psa", Token: token}
	if err := s.Add(one, false); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "services", "one.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if err := s.Add(one, false); !errors.Is(err, pinning.ErrConfig) {
		t.Errorf("twice: %v", err)
	}
	one.Token = "newer"
	if err := s.Add(one, true); err != nil {
		t.Error(err)
	}
	if got, err := s.Get("one"); err != nil || got != one {
		t.Errorf("%+v %v", got, err)
	}
	for _, wrong := range []pinning.Service{{Name: "../up", Endpoint: "x", Token: "t"}, {Name: "a", Endpoint: "x"}, {Name: "a", Endpoint: "x", Token: "two words"}, {Name: "a", Endpoint: "x", Token: "a\x00b"}} {
		if err := s.Add(wrong, false); !errors.Is(err, pinning.ErrConfig) {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
	if _, err := s.Get("two"); !errors.Is(err, ipfs.ErrNotFound) || !strings.Contains(err.Error(), "there are one") {
		t.Errorf("another: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "services", "bad.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if all, err := s.List(); len(all) != 1 || !errors.Is(err, pinning.ErrConfig) {
		t.Errorf("%+v %v", all, err)
	}
	for text, says := range map[string]string{`{"endpoint":"https://x","token":["SECRET"]}`: "field token: expected a string, found an array", `{"endpoint":"SECRET`: "ends early", "{}": "it has no endpoint"} {
		if err := os.WriteFile(filepath.Join(dir, "services", "bad.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.Get("bad")
		if !errors.Is(err, pinning.ErrConfig) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "service add --replace bad") || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v, want %s", text, err, says)
		}
	}
	if err := s.Remove("one"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "services", "one.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed: %v", err)
	}
	if err := s.Remove("one"); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("twice: %v", err)
	}
}

func TestCheckEndpoint(t *testing.T) {
	for text, want := range map[string]string{"https://pins.example/psa/": "https://pins.example/psa", "http://127.0.0.1:9097/pins": "http://127.0.0.1:9097", "http://pins.example": "http://pins.example"} {
		got, plain, err := pinning.CheckEndpoint(text)
		if err != nil || got != want || plain != (text == "http://pins.example") {
			t.Errorf("%s: %s %t %v", text, got, plain, err)
		}
	}
	for _, text := range []string{"", "pins.example", "ftp://pins.example", "https://user:secret@pins.example", "https://pins.example?a=b", "https://:443/psa", "https://pins.example:0", "https://pins.example:99999"} {
		if _, _, err := pinning.CheckEndpoint(text); !errors.Is(err, pinning.ErrConfig) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
