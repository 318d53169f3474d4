package kubo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	shell "github.com/ipfs/go-ipfs-api"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/internal/transport"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// newClient makes the one HTTP client of a store. It sets no time-out for
// whole requests: an import takes as long as the image does, and its answer
// begins only after Kubo has walked it.
func newClient(a address, c Credentials) *http.Client {
	t := transport.New(32)
	t.WriteBufferSize = 128 << 10
	if a.socket != "" {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return transport.Dialer().DialContext(ctx, "unix", a.socket)
		}
	}
	if c.header != "" {
		return &http.Client{Transport: authorized{c, plainErrors{t}}, CheckRedirect: stayOnHost}
	}
	return &http.Client{Transport: plainErrors{t}, CheckRedirect: stayOnHost}
}

// stayOnHost lets nobody but the user decide whom this machine talks to.
func stayOnHost(req *http.Request, via []*http.Request) error {
	if to, from := req.URL, via[0].URL; to.Host != from.Host || len(via) > 5 {
		return fmt.Errorf("it redirects to %s://%s; if Kubo is there, give that address", to.Scheme, to.Host)
	}
	return nil
}

// plainErrors makes every failed answer one that go-ipfs-api passes on: of
// types that it does not know it would complain on standard error.
type plainErrors struct{ next *http.Transport }

const maxErrorBody = 64 << 10

func (p plainErrors) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := p.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < http.StatusBadRequest {
		resp.Body = &streamBody{ReadCloser: resp.Body, resp: resp}
		return resp, nil
	}
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	if resp.StatusCode == http.StatusNotFound || kind != "application/json" {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
		resp.Body.Close()
		text := strings.TrimSpace(strings.ToValidUTF8(string(body), "?"))
		if strings.Contains(kind, "html") || text == "" {
			text = ""
		} else {
			text = ": " + text
		}
		resp.Body = io.NopCloser(strings.NewReader("HTTP " + resp.Status + text))
		resp.Header.Set("Content-Type", "text/plain")
		if resp.StatusCode == http.StatusNotFound { // it has a message of its own for this
			resp.StatusCode = http.StatusBadRequest
		}
		return resp, nil
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxErrorBody), resp.Body}
	return resp, nil
}

// streamBody turns the trailer by which Kubo reports that a command failed
// after its answer had begun into an error of the kind that others come as.
type streamBody struct {
	io.ReadCloser
	resp *http.Response
}

const streamError = "X-Stream-Error"

func (b *streamBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		if msg := b.resp.Trailer.Get(streamError); msg != "" {
			b.resp.Trailer.Del(streamError) // else go-ipfs-api makes a plain error of it
			err = &shell.Error{Message: msg}
		}
	}
	return n, err
}

// CloseIdleConnections serves http.Client.CloseIdleConnections.
func (p plainErrors) CloseIdleConnections() { p.next.CloseIdleConnections() }

// send runs a command. The caller closes resp.Output.
func (e *Store) send(ctx context.Context, r *shell.RequestBuilder) (*shell.Response, error) {
	resp, err := r.Send(ctx)
	if err == nil && resp.Error != nil {
		err = resp.Error
	}
	if err != nil {
		return nil, e.mapError(ctx, err)
	}
	return resp, nil
}

// exec runs a command whose whole answer is of no interest.
func (e *Store) exec(ctx context.Context, r *shell.RequestBuilder) error {
	resp, err := e.send(ctx, r)
	if err != nil {
		return err
	}
	if err := resp.Close(); err != nil { // drains: an error may come in the trailer
		return e.mapError(ctx, err)
	}
	return nil
}

// notFound are the words by which Kubo says that it has no such block or pin;
// its errors carry no codes.
var notFound = []string{"not found", "could not find", "is not pinned", "not pinned or pinned indirectly"}

func saysNotFound(message string) bool {
	return slices.ContainsFunc(notFound, func(words string) bool { return strings.Contains(message, words) })
}

// mapError gives an error of a request its meaning: [ipfs.ErrNotFound] for
// what Kubo says it does not have, [ipfs.ErrUnavailable] for a Kubo that
// cannot be reached, ctx's own error when that has ended.
func (e *Store) mapError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		if errors.Is(cause, context.DeadlineExceeded) {
			return fmt.Errorf("%w: %s gave no answer in time: %w", ipfs.ErrUnavailable, e, cause)
		}
		return fmt.Errorf("%s: %w", e, cause)
	}
	answer, ok := errors.AsType[*shell.Error](err)
	if !ok {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // e says where
		}
		return fmt.Errorf("%w: %s: %w", ipfs.ErrUnavailable, e, jsontext.Fault(err))
	}
	if saysNotFound(answer.Message) {
		return fmt.Errorf("%w: %s: %s", ipfs.ErrNotFound, e, answer)
	}
	return fmt.Errorf("%s: %w", e, answer)
}
