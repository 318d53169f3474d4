package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// timeout is why a request was given up.
type timeout struct {
	what string
	d    time.Duration
}

func (t timeout) Error() string { return fmt.Sprintf("waited %s for %s", t.d, t.what) }
func (t timeout) Timeout() bool { return true }
func (t timeout) Is(err error) bool {
	return err == context.DeadlineExceeded
}

// Get reads a block and checks it against its CID. Errors name the URL and
// match [ipfs.ErrNotFound] when the gateway says that there is no such block,
// [ipfs.ErrCorrupt] when it sends other bytes, [ipfs.ErrUnavailable] when it
// fails (for this block alone with an [ipfs.ErrOneBlock]), is overloaded (perhaps with
// a [ipfs.BusyError]) or too slow; or they are ctx's own.
func (g *Gateway) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	a, err := g.ask(ctx, g.url+"/ipfs/"+c.String()+"?format=raw", rawType)
	if err != nil {
		return nil, err
	}
	defer a.close()
	if a.resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(a.body, 4096)) // all of it keeps the connection
		return nil, checkStatus(a.resp, string(text), c, a.where)
	}
	data, err := readBlock(a.body, a.resp.ContentLength, c)
	if errors.Is(err, ipfs.ErrCorrupt) {
		return nil, g.blame(err, a.resp, a.where)
	}
	if err != nil {
		return nil, a.unavailable(err)
	}
	return data, nil
}

// unavailable wraps a failure of the network. When the caller's context has
// ended, that is the reason, and the gateway is not to blame unless it was a
// deadline.
func (a *answer) unavailable(err error) error {
	if cause := context.Cause(a.outer); errors.Is(cause, context.Canceled) {
		return fmt.Errorf("GET %s: %w", a.where, cause)
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err // names the URL once more
	}
	if cause := context.Cause(a.ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("%w: GET %s: %w", ipfs.ErrUnavailable, a.where, err)
}

// checkStatus gives an answer other than 200, with the text that it begins
// with, its meaning.
func checkStatus(resp *http.Response, text string, c cid.Cid, where string) error {
	kind := ipfs.ErrUnavailable
	hint := ""
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		kind = ipfs.ErrNotFound
	case http.StatusGatewayTimeout:
		hint = "; it found nobody who has the block"
	case http.StatusBadRequest, http.StatusNotAcceptable, http.StatusNotImplemented:
		hint = "; it may not be a gateway that gives raw blocks"
	}
	if busy := checkBusy(resp); busy != nil {
		return fmt.Errorf("%w: GET %s: the gateway answers %s; %w", kind, where, resp.Status, busy)
	}
	err := fmt.Errorf("%w: GET %s: the gateway answers %s%s", kind, where, resp.Status, hint)
	if isAbout(resp.StatusCode, text, c) {
		return ipfs.OneBlock(err)
	}
	return err
}

// isAbout tells whether a failure is about c alone: the search for it took too
// long, it is denied, or Kubo, which answers 500 or 502 where it finds nobody who
// has it, names it.
func isAbout(status int, text string, c cid.Cid) bool {
	switch status {
	case http.StatusGatewayTimeout, http.StatusForbidden, http.StatusUnavailableForLegalReasons:
		return true
	case http.StatusInternalServerError, http.StatusBadGateway:
		return strings.Contains(text, c.String())
	}
	return false
}

// blame names the gateway that sent other bytes than the block.
func (g *Gateway) blame(err error, resp *http.Response, where string) error {
	hint := ""
	if t := resp.Header.Get("Content-Type"); t != rawType {
		hint = fmt.Sprintf("; it answers with %q instead of %q, so it may not be a gateway that gives raw blocks", t, rawType)
	}
	return fmt.Errorf("gateway %s, GET %s: %w%s", g, where, err, hint)
}

// readBlock reads the block c of at most maxBlock bytes and checks it; size is
// what it is said to have, -1 for unknown. What is not c matches
// [ipfs.ErrCorrupt]; other errors are the reader's.
func readBlock(r io.Reader, size int64, c cid.Cid) ([]byte, error) {
	if size > maxBlock {
		return nil, fmt.Errorf("%w: block %s is said to have %d bytes, at most %d are allowed", ipfs.ErrCorrupt, c, size, maxBlock)
	}
	if size < 0 {
		size = 64 << 10
	}
	// One byte more than expected, so that the end is seen without growing.
	data := make([]byte, 0, size+1)
	for {
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if len(data) > maxBlock {
			return nil, fmt.Errorf("%w: block %s has more than the %d bytes that are allowed", ipfs.ErrCorrupt, c, maxBlock)
		}
		if err == io.EOF {
			err := ipfs.VerifyBlock(c, data)
			if err != nil && !errors.Is(err, ipfs.ErrCorrupt) { // no such hash function
				err = fmt.Errorf("%w: %w", ipfs.ErrCorrupt, err)
			}
			return data, err
		}
		if err != nil {
			return nil, fmt.Errorf("after %d bytes of block %s: %w", len(data), c, err)
		}
	}
}
