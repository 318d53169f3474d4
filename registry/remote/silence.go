package remote

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/transport"
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
	body := transport.Watch(resp.Body, w.silence, func() { cancel(errSilent) })
	resp.Body = &watchedBody{body, resp.Body, ctx, cancel}
	return resp, nil
}

// watchedBody is the body of an answer.
type watchedBody struct {
	io.Reader
	body   io.Closer
	ctx    context.Context
	cancel context.CancelCauseFunc
}

// Read implements io.Reader. The error is errSilent when nothing came for too long.
func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && errors.Is(context.Cause(b.ctx), errSilent) {
		err = errSilent
	}
	return n, err
}

// Close implements io.Closer.
func (b *watchedBody) Close() error {
	defer b.cancel(nil)
	return b.body.Close()
}
