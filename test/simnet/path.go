package simnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// link is one direction of a machine's connection to the network; what goes over
// it at the same time shares it piece by piece.
type link struct {
	rate float64 // bytes a second; 0 for no limit
	mu   sync.Mutex
	free time.Time // when all that was given to it has gone
}

func newLink(rate float64) *link { return &link{rate: rate} }

// pass tells when n bytes have gone over the link.
func (l *link) pass(n int) time.Time {
	now := time.Now()
	if l.rate == 0 {
		return now
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(float64(n) / l.rate * float64(time.Second)))
	return l.free
}

// piece is how many bytes go over a link at once.
const piece = 32 << 10

// path is how one machine reaches another: it carries requests to its handler.
type path struct{ from, to *Machine }

func (p path) String() string { return p.to.ID }

var errGone = errors.New("the connection is broken")

// wait waits until a moment, or the end of ctx.
func wait(ctx context.Context, until time.Time) error {
	if d := time.Until(until); d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// RoundTrip implements [http.RoundTripper].
func (p path) RoundTrip(r *http.Request) (*http.Response, error) {
	p.from.lab.requests.Add(1)
	ctx, cancel := context.WithCancelCause(r.Context())
	for _, end := range []*Machine{p.from, p.to} {
		if end.ctx.Err() != nil {
			cancel(errGone)
			return nil, errGone
		}
		stop := context.AfterFunc(end.ctx, func() { cancel(errGone) })
		context.AfterFunc(ctx, func() { stop() })
	}
	body, w := io.Pipe()
	answer := &answer{path: p, ctx: ctx, pipe: w, header: http.Header{}, begun: make(chan struct{})}
	context.AfterFunc(ctx, func() { _ = w.CloseWithError(context.Cause(ctx)) }) // never fails
	asked := r.Clone(ctx)
	asked.RequestURI, asked.RemoteAddr = asked.URL.RequestURI(), p.from.ID
	if asked.Body == nil {
		asked.Body = http.NoBody
	}
	go answer.serve(asked, cancel)
	select {
	case <-answer.begun:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return &http.Response{
		StatusCode: answer.status, Status: fmt.Sprint(answer.status, " ", http.StatusText(answer.status)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: answer.header.Clone(), Body: &taken{body, cancel}, ContentLength: -1, Request: r,
	}, nil
}

// taken is the body of an answer; closing it ends what sends.
type taken struct {
	io.Reader
	cancel context.CancelCauseFunc
}

func (t *taken) Close() error {
	t.cancel(context.Canceled)
	return nil
}

// answer is what a handler writes.
type answer struct {
	path
	ctx    context.Context
	pipe   *io.PipeWriter
	header http.Header
	status int
	once   sync.Once
	begun  chan struct{} // closed when the header has come
	small  int           // bytes written that have not passed the links yet
}

// serve runs the handler of the machine that is asked.
func (a *answer) serve(r *http.Request, cancel context.CancelCauseFunc) {
	defer func() {
		var end error
		if p := recover(); p != nil {
			end = io.ErrUnexpectedEOF // as for [http.ErrAbortHandler]
			if p != http.ErrAbortHandler {
				panic(p)
			}
		}
		a.WriteHeader(http.StatusOK)
		_ = a.pass(1 << 10)            // of headers and the end
		_ = a.pipe.CloseWithError(end) // never fails
		if end != nil {
			cancel(end)
		}
	}()
	if wait(a.ctx, time.Now().Add(a.from.lab.Latency)) != nil || a.stands() != nil {
		panic(http.ErrAbortHandler)
	}
	a.to.handler().ServeHTTP(a, r)
}

// stands waits as long as one of the machines pauses, and for the end of ctx where one is
// frozen.
func (a *answer) stands() error {
	for _, end := range []*Machine{a.from, a.to} {
		select {
		case <-end.frozen:
			<-a.ctx.Done()
			return a.ctx.Err()
		default:
		}
		for at := end.thaws.Load(); at > time.Now().UnixNano(); at = end.thaws.Load() {
			if err := wait(a.ctx, time.Unix(0, at)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Header implements [http.ResponseWriter].
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements [http.ResponseWriter].
func (a *answer) WriteHeader(status int) {
	a.once.Do(func() {
		a.status = status
		close(a.begun)
	})
}

// Write implements [http.ResponseWriter], at the speed of both links.
func (a *answer) Write(data []byte) (n int, err error) {
	a.WriteHeader(http.StatusOK)
	for len(data) > 0 {
		part := data[:min(len(data), piece)]
		if err := a.pass(len(part)); err != nil {
			return n, err
		}
		k, err := a.pipe.Write(part)
		n, data = n+k, data[k:]
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// pass waits until n bytes have come over both links. Few go with those that follow.
func (a *answer) pass(n int) error {
	if err := a.stands(); err != nil {
		return err
	}
	a.to.sends(n)
	if a.small += n; a.small < 1<<10 {
		return nil
	}
	n, a.small = a.small, 0
	if err := wait(a.ctx, a.to.up.pass(n)); err != nil {
		return err
	}
	if err := a.stands(); err != nil {
		return err
	}
	return wait(a.ctx, a.from.down.pass(n))
}

// FlushError is what an [http.ResponseController] calls.
func (a *answer) FlushError() error {
	a.WriteHeader(http.StatusOK)
	return a.ctx.Err()
}

// SetWriteDeadline is what an [http.ResponseController] calls, to cut an answer.
func (a *answer) SetWriteDeadline(at time.Time) error {
	if !at.IsZero() && at.Before(time.Now()) {
		_ = a.pipe.CloseWithError(errGone) // never fails
	}
	return nil
}
