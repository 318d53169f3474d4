package remote

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	silence      = time.Minute     // for which an answer may stand still
	answerSilent = 3 * time.Minute // until an answer begins, when all was sent: a registry may have much to do with it
)

// errSilent is why a request ends of which nothing comes any more. It is a [net.Error].
var errSilent error = silent{}

type silent struct{}

func (silent) Error() string   { return "no byte came for " + silence.String() }
func (silent) Timeout() bool   { return true }
func (silent) Temporary() bool { return true }

// watched ends requests whose answers stand still, which no time-out for the whole of
// them could: it takes as long as a blob does.
type watched struct {
	http.RoundTripper
	silence time.Duration
}

// RoundTrip implements [http.RoundTripper].
func (w watched) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	resp, err := w.RoundTripper.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	b := &watchedBody{ReadCloser: resp.Body, ctx: ctx, cancel: cancel, silence: w.silence}
	b.timer = time.AfterFunc(w.silence, func() { cancel(errSilent) })
	b.timer.Stop() // while nobody reads, it is not the registry that is silent
	resp.Body = b
	return resp, nil
}

// watchedBody is the body of an answer.
type watchedBody struct {
	io.ReadCloser
	ctx     context.Context
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	silence time.Duration
}

// Read implements io.Reader. The error is errSilent when nothing came for too long.
func (b *watchedBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.silence)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) && errors.Is(context.Cause(b.ctx), errSilent) {
		err = errSilent
	}
	return n, err
}

// Close implements io.Closer.
func (b *watchedBody) Close() error {
	b.timer.Stop()
	defer b.cancel(nil)
	return b.ReadCloser.Close()
}
