// Package notify hands lines to who wants to know: a file, to which they are appended,
// or a URL, to which each is posted, again for an hour while that may help. Who sends one does not
// wait for it.
package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/output"
	"github.com/image2ipfs/image2ipfs/internal/redact"
	"github.com/image2ipfs/image2ipfs/internal/silent"
	"github.com/image2ipfs/image2ipfs/internal/transport"
)

const (
	// maxQueued is how many lines wait; where there are more the newest are lost.
	maxQueued = 1000
	// postTimeout is for one request, firstPause until it is repeated; each pause
	// doubles, up to lastPause.
	postTimeout, firstPause, lastPause = 10 * time.Second, time.Second, time.Minute
	// maxAge is for how long a line is posted again.
	maxAge = time.Hour
	// farewell is for the lines that wait when all ends.
	farewell = 5 * time.Second
)

// ErrTarget is matched by errors about a target that makes no sense.
var ErrTarget = errors.New("neither a file nor a URL")

// Lines hands lines over, in their order. It must be closed.
type Lines struct {
	to   target
	log  *slog.Logger
	wait chan line
	done chan struct{}
	stop context.CancelFunc // ends what goes on after the farewell

	taken, repeated, dropped atomic.Int64
}

// Stats is what came of the lines so far.
type Stats struct {
	Delivered, Lost      int64
	Repeated             int64 // times at which one was not taken, and sent again
	Waiting, MostWaiting int
}

// Stats tells what came of them.
func (l *Lines) Stats() Stats {
	return Stats{Delivered: l.taken.Load(), Lost: l.dropped.Load(), Repeated: l.repeated.Load(), Waiting: len(l.wait), MostWaiting: cap(l.wait)}
}

type line struct {
	text  []byte
	since time.Time
}

// target takes lines.
type target interface {
	// put hands one over. An error that is an [*againError] may pass.
	put(ctx context.Context, text []byte) error
	String() string
}

// againError says that something is worth another try.
type againError struct {
	error
	after time.Duration // 0 where that is not known
}

func (e *againError) Unwrap() error { return e.error }

// Options are those of [Open].
type Options struct {
	Logger *slog.Logger // nil for silence
}

// Open makes one for a file, which is made if it is not there, or an http or https URL.
// The logger is told of lines that nobody took. Errors match [ErrTarget], or are those of
// opening the file.
func Open(to string, o Options) (*Lines, error) {
	t, err := open(to)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &Lines{to: t, log: silent.Logger(o.Logger), wait: make(chan line, maxQueued), done: make(chan struct{}), stop: stop}
	go l.run(ctx)
	return l, nil
}

// Check tells what is wrong with the text of a target, and opens nothing. The error matches
// [ErrTarget].
func Check(to string) error {
	_, err := parse(to)
	return err
}

// parse reads the URL of a target; nil for a file.
func parse(to string) (*url.URL, error) {
	switch {
	case to == "":
		return nil, fmt.Errorf("%w: it is empty", ErrTarget)
	case !strings.Contains(to, "://"):
		return nil, nil
	}
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%w: expected http://HOST/… or https://HOST/…, or the path of a file", ErrTarget) // it may have a password
	}
	return u, nil
}

func open(to string) (target, error) {
	u, err := parse(to)
	if err != nil {
		return nil, err
	}
	if u == nil {
		f := file(to)
		if info, err := os.Stat(to); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
			return f, nil // whoever reads it may come later
		}
		return f, f.put(context.Background(), nil)
	}
	return &poster{url: u, client: &http.Client{
		Transport: transport.New(1), Timeout: postTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Send hands a line over, without its end, some time later. It does not block.
func (l *Lines) Send(text []byte) {
	select {
	case l.wait <- line{append(bytes.Clone(text), '\n'), time.Now()}:
	default:
		l.lost(text, fmt.Errorf("%d others wait", maxQueued))
	}
}

// Close hands over what waits, for at most some seconds. Nothing may be sent after it.
func (l *Lines) Close() error {
	close(l.wait)
	end := time.AfterFunc(farewell, l.stop)
	defer end.Stop()
	<-l.done
	l.stop()
	return nil
}

func (l *Lines) lost(text []byte, why error) {
	l.dropped.Add(1)
	l.log.Warn("an event was lost", "to", l.to.String(), "event", strings.TrimSuffix(string(text), "\n"), "error", why)
}

func (l *Lines) run(ctx context.Context) {
	defer close(l.done)
	for next := range l.wait {
		if err := l.deliver(ctx, next); err != nil {
			l.lost(next.text, err)
		} else {
			l.taken.Add(1)
		}
	}
}

// deliver hands one line over, and tries again as long as that may help.
func (l *Lines) deliver(ctx context.Context, next line) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := l.to.put(ctx, next.text)
		var again *againError
		if err == nil || !errors.As(err, &again) || time.Since(next.since) > maxAge {
			return err
		}
		l.repeated.Add(1)
		l.log.Info("an event was not taken, and is sent again", "to", l.to.String(), "error", err)
		select {
		case <-time.After(max(pause, min(again.after, lastPause))):
		case <-ctx.Done():
			return err
		}
	}
}

// file is one to which lines are appended. It is opened for each, so that it may be
// moved away. Of a named pipe lines wait for a reader.
type file string

func (f file) String() string { return string(f) }

func (f file) put(ctx context.Context, text []byte) error {
	if is, err := output.Special(ctx, string(f), func(w io.Writer) error { _, err := w.Write(text); return err }); is {
		return err
	}
	to, err := os.OpenFile(string(f), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if len(text) > 0 {
		_, err = to.Write(text)
	}
	return errors.Join(err, to.Close())
}

// poster posts lines to a URL, whose user, password and path are for it alone.
type poster struct {
	url    *url.URL
	client *http.Client
}

func (p *poster) String() string {
	return redact.Hook((&url.URL{Scheme: p.url.Scheme, Host: p.url.Host, Path: p.url.Path}).String())
}

func (p *poster) put(ctx context.Context, text []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url.String(), bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%w: %s", ErrTarget, p) // that of the library has the password
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := p.client.Do(r)
	if err != nil {
		if of, ok := errors.AsType[*url.Error](err); ok { // it shows the password
			err = of.Err
		}
		return &againError{error: fmt.Errorf("POST %s: %w", p, err)}
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection is used again
	status := resp.StatusCode
	err = fmt.Errorf("POST %s: %s", p, resp.Status)
	switch {
	case status < 300:
		return nil
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // a date is not understood
		return &againError{err, time.Duration(seconds) * time.Second}
	}
	return err
}
