package sources

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/car"
	"github.com/image2ipfs/image2ipfs/ipfs/gateway"
)

// Gateway is a trustless gateway that is asked for whole DAGs as CARs besides
// single blocks. One that has no CARs serves as well. It implements
// [ipfs.Getter] and [Streamer].
type Gateway struct {
	*gateway.Gateway
	client *http.Client
}

var _ Streamer = (*Gateway)(nil)

// NewGateway makes a Gateway as [gateway.New] does.
func NewGateway(rawURL string, opts gateway.Options) (*Gateway, error) {
	g, err := gateway.New(rawURL, opts)
	if err != nil {
		return nil, err
	}
	client := *carClient
	if opts.Client != nil {
		client = *opts.Client
	}
	client.CheckRedirect = gateway.FollowWithin(g.Base())
	return &Gateway{Gateway: g, client: &client}, nil
}

// carClient makes the requests for CARs of all gateways.
var carClient = &http.Client{
	Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 40 * time.Second,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
		ReadBufferSize:        64 << 10,
		DisableCompression:    true,
	},
}

// Stream reads the DAG of a file in one request (trustless gateway
// specification, "application/vnd.ipld.car") and checks every block.
func (g *Gateway) Stream(ctx context.Context, c cid.Cid, yield func(c cid.Cid, data []byte) error) error {
	where := g.Base().String() + "/ipfs/" + c.String() + "?format=car&dag-scope=entity"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return fmt.Errorf("gateway %s: %w", g, err)
	}
	req.Header.Set("Accept", car.MediaType+"; version=1; order=dfs; dups=n")
	resp, err := g.client.Do(req)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // names the URL, perhaps with a password
		}
		return fmt.Errorf("%w: gateway %s: CAR of %s: %w", ipfs.ErrUnavailable, g, c, err)
	}
	defer resp.Body.Close()
	if err := g.checkCAR(resp); err != nil {
		return err
	}
	if err := car.Read(bufio.NewReaderSize(gateway.Progress(ctx, resp.Body), 64<<10), yield); err != nil {
		return fmt.Errorf("gateway %s: CAR of %s: %w", g, c, err)
	}
	return nil
}

// checkCAR gives an answer that is no CAR its meaning. Only one that is about the
// format says that there are no CARs of other DAGs.
func (g *Gateway) checkCAR(resp *http.Response) error {
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	if busy := gateway.CheckBusy(resp); busy != nil {
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
