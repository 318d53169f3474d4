package notify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/image2ipfs/image2ipfs/test/testlog"
)

// Each line is there, whole and in its order, also after the file was moved away.
func TestFile(t *testing.T) {
	at := filepath.Join(t.TempDir(), "events")
	if err := os.WriteFile(at, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Open(at, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := "before\n"
	for i := range 100 {
		l.Send([]byte(fmt.Sprint(i)))
		want += fmt.Sprintln(i)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(at); err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
	if err := os.Rename(at, at+".1"); err != nil {
		t.Fatal(err)
	}
	again, err := Open(at, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(at); err != nil {
		t.Fatal(err)
	}
	again.Send([]byte("{}"))
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(at); err != nil || string(got) != "{}\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// What cannot be a target is refused, and a password in it is not shown.
func TestTargets(t *testing.T) {
	for _, to := range []string{"", "ftp://ann:secret@x/", "http://", "http://ann:secret@x:y/"} {
		if _, err := Open(to, Options{}); !errors.Is(err, ErrTarget) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", to, err)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none", "x"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// receiver answers as it is told, and notes what came.
type receiver struct {
	mu       sync.Mutex
	statuses []int // of the next answers; then 204
	got      []string
	user     string
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	status := http.StatusNoContent
	if len(r.statuses) > 0 {
		status, r.statuses = r.statuses[0], r.statuses[1:]
	}
	if status == 0 {
		return nil, errors.New("connection refused")
	}
	if status < 300 {
		r.got = append(r.got, string(body))
	}
	r.user, _, _ = req.BasicAuth()
	if req.URL.User != nil {
		r.user = req.URL.User.Username()
	}
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Header: http.Header{"Retry-After": {"7"}}, Body: http.NoBody}, nil
}

func openURL(t *testing.T, r *receiver, log *slog.Logger) *Lines {
	t.Helper()
	l, err := Open("http://ann:secret@127.0.0.1:1/hook/secret?token=secret", Options{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	l.to.(*poster).client.Transport = r
	return l
}

// A receiver that is away for a while gets all the same, once and in order; what it
// refuses for good is told to the log and stops nothing.
func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r := &receiver{statuses: []int{0, 503, 429, 200, 400, 302}}
		l := openURL(t, r, slog.New(slog.NewTextHandler(&log, nil)))
		for _, text := range []string{"one", "refused", "sent elsewhere", "last"} {
			l.Send([]byte(text))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprintf("%q", r.got) != `["one\n" "last\n"]` {
			t.Errorf("got %q", r.got)
		}
		text := log.String()
		if strings.Count(text, "an event was lost") != 2 || !strings.Contains(text, "event=refused") || strings.Contains(text, "secret") || r.user != "ann" {
			t.Errorf("user %q, log: %s", r.user, text)
		}
	})
}

// A receiver that never answers costs a bounded queue and a bounded time at the end,
// and an hour for one line.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log testlog.Log
		r := &receiver{statuses: make([]int, 1<<20)}
		l := openURL(t, r, slog.New(slog.NewTextHandler(&log, nil)))
		for range maxQueued + 11 {
			l.Send([]byte("x"))
			synctest.Wait()
		}
		if lost := strings.Count(log.String(), "an event was lost"); lost != 10 {
			t.Errorf("%d of %d are lost", lost, maxQueued+11)
		}
		time.Sleep(maxAge + 2*lastPause)
		synctest.Wait()
		if lost := strings.Count(log.String(), "an event was lost"); lost == 10 {
			t.Error("one line is sent for ever")
		}
		begin := time.Now()
		if err := l.Close(); err != nil || time.Since(begin) > farewell+time.Second {
			t.Errorf("closed after %s, %v", time.Since(begin), err)
		}
	})
}

// The real thing, over a socket.
func TestPost(t *testing.T) {
	got := make(chan string, 1)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		user, password, _ := r.BasicAuth()
		got <- strings.Join([]string{r.Method, r.URL.Path, r.Header.Get("Content-Type"), user, password, string(body)}, " ")
	}))
	defer s.Close()
	l, err := Open(strings.Replace(s.URL, "://", "://ann:secret@", 1)+"/hook", Options{})
	if err != nil {
		t.Fatal(err)
	}
	l.Send([]byte(`{"a":1}`))
	if text := <-got; text != "POST /hook application/json ann secret {\"a\":1}\n" {
		t.Errorf("%q", text)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
