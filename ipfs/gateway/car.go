package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/internal/redact"
	"github.com/image2ipfs/image2ipfs/internal/transport"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/car"
)

// Stream reads the DAG of a file in one request (trustless gateway
// specification, "application/vnd.ipld.car") and calls yield for its blocks,
// each checked, parents first. It ends with yield's error, one that Get could
// have had, or one that matches [errors.ErrUnsupported] when the gateway has no
// CARs of any DAG.
func (g *Gateway) Stream(ctx context.Context, c cid.Cid, yield func(c cid.Cid, data []byte) error) error {
	where := g.url + "/ipfs/" + c.String() + "?format=car&dag-scope=entity"
	a, err := g.ask(ctx, where, car.MediaType+"; version=1; order=dfs; dups=n")
	if err != nil {
		return err
	}
	defer a.close()
	if err := g.checkCAR(a.resp); err != nil {
		return err
	}
	var yielded error
	err = car.Read(bufio.NewReaderSize(a.body, 64<<10), func(c cid.Cid, data []byte) error {
		yielded = yield(c, data)
		return yielded
	})
	switch {
	case err == nil, err == yielded, errors.Is(err, ipfs.ErrCorrupt):
	default:
		err = a.unavailable(err)
	}
	if err != nil {
		return fmt.Errorf("gateway %s: CAR of %s: %w", g, c, err)
	}
	return nil
}

// checkCAR gives an answer that is no CAR its meaning. Only one that is about the
// format says that there are no CARs of other DAGs.
func (g *Gateway) checkCAR(resp *http.Response) error {
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	if busy := checkBusy(resp); busy != nil {
		return fmt.Errorf("%w: gateway %s answers %s for a CAR; %w", ipfs.ErrUnavailable, g, resp.Status, busy)
	}
	switch resp.StatusCode {
	case http.StatusOK:
		if kind == car.MediaType {
			return nil
		}
	case http.StatusNotFound, http.StatusGone:
		return fmt.Errorf("%w: gateway %s answers %s for a CAR", ipfs.ErrNotFound, g, resp.Status)
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusUnsupportedMediaType, http.StatusNotImplemented:
	default:
		return fmt.Errorf("%w: gateway %s answers %s for a CAR", ipfs.ErrUnavailable, g, resp.Status)
	}
	return fmt.Errorf("%w: gateway %s gives no CARs: it answers %s, %q", errors.ErrUnsupported, g, resp.Status, kind)
}

// answer is a request under way.
type answer struct {
	outer, ctx context.Context // the caller's, and the request's
	cancel     context.CancelCauseFunc
	where      string // the URL, for messages
	resp       *http.Response
	body       io.Reader // cancels the request when it stands still, and tells of its progress
}

// ask requests where, and waits for as long as Options.Answer for the answer's
// header. Errors match [ipfs.ErrUnavailable], or are ctx's own. The answer must
// be closed.
func (g *Gateway) ask(ctx context.Context, where, accept string) (*answer, error) {
	return g.send(ctx, http.MethodGet, where, http.Header{"Accept": {accept}})
}

// send is ask with any method and header.
func (g *Gateway) send(ctx context.Context, method, where string, header http.Header) (*answer, error) {
	a := &answer{outer: ctx, where: redact.URL(where)}
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	late := timeout{"an answer", g.opts.Answer}
	timer := time.AfterFunc(g.opts.Answer, func() { a.cancel(late) })
	defer timer.Stop()
	req, err := http.NewRequestWithContext(a.ctx, method, where, nil)
	if err != nil {
		a.cancel(nil)
		return nil, fmt.Errorf("gateway %s: %w", g, err)
	}
	req.Header = header
	if a.resp, err = g.client.Do(req); err != nil { //nolint:bodyclose // close does
		err = a.unavailable(err)
		a.cancel(nil)
		return nil, err
	}
	still := timeout{"more of the answer", g.opts.Idle}
	a.body = transport.Watch(ipfs.Progress(a.ctx, a.resp.Body), g.opts.Idle, func() { a.cancel(still) })
	return a, nil
}

func (a *answer) close() {
	a.resp.Body.Close()
	a.cancel(nil)
}
