package sources

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/gateway"
)

// Gateway is a trustless gateway that is asked for whole DAGs as CARs besides
// single blocks. One that has no CARs serves as well. It implements
// [ipfs.Getter] and [Streamer].
type Gateway struct {
	*gateway.Gateway
	base   string
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
	// The URL as gateway has made it out.
	blob := g.BlobURL(emptyDir, digest.FromString(""))
	base := blob[:strings.LastIndex(blob, "/ipfs/")]
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("gateway %q: %w", rawURL, err)
	}
	client.CheckRedirect = gateway.FollowWithin(u)
	return &Gateway{Gateway: g, base: base, client: &client}, nil
}

// emptyDir is the empty UnixFS directory.
var emptyDir = cid.MustParse("bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354")

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

const carType = "application/vnd.ipld.car"

// Stream reads the DAG of a file in one request (trustless gateway
// specification, "application/vnd.ipld.car") and checks every block.
func (g *Gateway) Stream(ctx context.Context, c cid.Cid, yield func(c cid.Cid, data []byte) error) error {
	where := g.base + "/ipfs/" + c.String() + "?format=car&dag-scope=entity"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return fmt.Errorf("gateway %s: %w", g, err)
	}
	req.Header.Set("Accept", carType+"; version=1; order=dfs; dups=n")
	resp, err := g.client.Do(req)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // names the URL, perhaps with a password
		}
		return fmt.Errorf("%w: gateway %s: CAR of %s: %w", ipfs.ErrUnavailable, g, c, err)
	}
	defer resp.Body.Close()
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	switch {
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500:
		return fmt.Errorf("%w: gateway %s answers %s for a CAR", ipfs.ErrUnavailable, g, resp.Status)
	case resp.StatusCode != http.StatusOK || kind != carType:
		return fmt.Errorf("%w: gateway %s gives no CARs: it answers %s, %q", errors.ErrUnsupported, g, resp.Status, kind)
	}
	if err := readCAR(bufio.NewReaderSize(resp.Body, 64<<10), yield); err != nil {
		return fmt.Errorf("gateway %s: CAR of %s: %w", g, c, err)
	}
	return nil
}

const maxSection = 2<<20 + 64<<10 // bitswap's limit for a block, and a little

// readCAR reads a CARv1 (https://ipld.io/specs/transport/car/carv1/). Its
// header is of no interest: what is wanted is known.
func readCAR(r *bufio.Reader, yield func(c cid.Cid, data []byte) error) error {
	header, err := section(r)
	if err != nil || header == nil {
		return fmt.Errorf("%w: reading the header: %w", ipfs.ErrUnavailable, err)
	}
	for {
		data, err := section(r)
		if err != nil || data == nil {
			return err
		}
		n, c, err := cid.CidFromBytes(data)
		if err != nil {
			return fmt.Errorf("%w: no CID: %v", ipfs.ErrIntegrity, err)
		}
		if err := ipfs.VerifyBlock(c, data[n:]); err != nil {
			if !errors.Is(err, ipfs.ErrIntegrity) { // no such hash function
				err = fmt.Errorf("%w: %w", ipfs.ErrIntegrity, err)
			}
			return err
		}
		if err := yield(c, data[n:]); err != nil {
			return err
		}
	}
}

// section reads one part behind its length; nil at the end.
func section(r *bufio.Reader) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err == io.EOF {
		return nil, nil
	}
	if err == nil && (n == 0 || n > maxSection) {
		return nil, fmt.Errorf("%w: a section of %d bytes, at most %d are allowed", ipfs.ErrIntegrity, n, maxSection)
	}
	var data []byte
	if err == nil {
		data = make([]byte, n)
		_, err = io.ReadFull(r, data)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the CAR breaks off: %w", ipfs.ErrUnavailable, err)
	}
	return data, nil
}
