package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/image2ipfs/image2ipfs/internal/redact"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// aFile is a CID that holds a file of ten bytes itself (identity), so that every
// gateway that serves files by path has it.
const aFile = "bafkqactjnvqwozjsnfygm4y"

// ByPath asks for one range of a file by path (path gateway specification, "Range"),
// as a client does that was redirected to [Gateway.FileURL]; nil when the gateway
// gives it. Errors match [ipfs.ErrUnavailable] when it does not answer, or is in
// trouble; others say that it serves no ranges by path, as one that is trustless
// alone.
func (g *Gateway) ByPath(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, g.opts.Probe, timeout{"a range of a file", g.opts.Probe})
	defer cancel()
	where := g.url + "/ipfs/" + aFile
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return fmt.Errorf("gateway %s: %w", g, err)
	}
	req.Header.Set("Range", "bytes=0-3")
	resp, err := g.client.Do(req)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // names the URL once more
		}
		return fmt.Errorf("%w: GET %s: %w", ipfs.ErrUnavailable, redact.URL(where), err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4096)) // all of it keeps the connection
	part := resp.Header.Get("Content-Range")
	switch {
	case resp.StatusCode == http.StatusPartialContent && strings.HasPrefix(part, "bytes 0-3/"):
		return nil
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= http.StatusInternalServerError:
		return fmt.Errorf("%w: GET %s: the gateway answers %s", ipfs.ErrUnavailable, redact.URL(where), resp.Status)
	}
	return fmt.Errorf("gateway %s answers %s for a range of a file by path, expected 206 with bytes 0-3, found %q", g, resp.Status, part)
}
