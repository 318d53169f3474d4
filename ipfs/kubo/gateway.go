package kubo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Gateway is the URL of the daemon's own HTTP gateway. A gateway that listens
// on all addresses, or on "localhost" (which would redirect to a subdomain),
// is given as 127.0.0.1, or as the API's host when that is another machine.
// The error matches [ipfs.ErrNotFound] when Kubo is configured without one,
// and [ipfs.ErrUnavailable] when it does not answer.
func (e *Store) Gateway(ctx context.Context) (string, error) {
	var config struct{ Value json.RawMessage }
	resp, err := e.send(ctx, e.shell.Request("config", "Addresses.Gateway"))
	if err != nil {
		return "", fmt.Errorf("asking for the gateway's address: %w", err)
	}
	if err := resp.Decode(&config); err != nil {
		return "", fmt.Errorf("asking for the gateway's address: %w", e.mapError(ctx, err))
	}
	var addrs []string // a string or a list of them
	if err := jsontext.Unmarshal(config.Value, &addrs); err != nil {
		addrs = make([]string, 1)
		if err := jsontext.Unmarshal(config.Value, &addrs[0]); err != nil {
			return "", fmt.Errorf("%s: Addresses.Gateway is %s: %w", e, config.Value, err)
		}
	}
	err = fmt.Errorf("%w: %s is configured without an HTTP gateway; give one with --gateway", ipfs.ErrNotFound, e)
	for _, a := range addrs {
		if a == "" {
			continue
		}
		var gateway string
		if gateway, err = e.gatewayURL(a); err != nil {
			continue
		}
		if err = e.probe(ctx, gateway); err == nil {
			return gateway, nil
		}
	}
	return "", err
}

func (e *Store) gatewayURL(multiaddr string) (string, error) {
	a, err := parseMultiaddr(multiaddr)
	if err == nil && a.socket != "" {
		err = fmt.Errorf("%s is no TCP address", multiaddr)
	}
	if err != nil {
		return "", fmt.Errorf("%w: the gateway of %s: %w", ipfs.ErrUnavailable, e, err)
	}
	u, err := url.Parse(a.url)
	if err != nil {
		return "", fmt.Errorf("%w: the gateway of %s: %w", ipfs.ErrUnavailable, e, err)
	}
	host := u.Hostname()
	ip := net.ParseIP(host)
	if host == "localhost" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
		if api := e.api.host(); ip != nil && api != "localhost" {
			if other := net.ParseIP(api); other == nil || !other.IsLoopback() {
				host = api
			}
		}
		u.Host = net.JoinHostPort(host, u.Port())
	}
	return u.String(), nil
}

// probe asks a gateway for the empty block (an identity CID), which any has.
func (e *Store) probe(ctx context.Context, gateway string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, gateway+"/ipfs/bafkqaaa?format=raw", nil)
	if err != nil {
		return err
	}
	req.Close = true
	client := http.Client{CheckRedirect: stayAtGateway} // e.client may be bound to a unix socket
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%w: the gateway of %s does not answer: %w", ipfs.ErrUnavailable, e, err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 4096))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: the gateway of %s at %s answers %s", ipfs.ErrUnavailable, e, gateway, resp.Status)
	}
	return nil
}

// stayAtGateway is stayOnHost for a gateway, which may have a subdomain for each
// content.
func stayAtGateway(req *http.Request, via []*http.Request) error {
	if len(via) == 1 && strings.HasSuffix(req.URL.Host, ".ipfs."+via[0].URL.Host) {
		return nil
	}
	return stayOnHost(req, via)
}
