// Package pinning asks services to keep what was published, by the IPFS Pinning Service
// API (spec of the same name, version 1.0.0): remote ones, and those of IPFS Cluster.
package pinning

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/boxo/pinning/remote/client/openapi"
	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/internal/transport"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

var (
	// ErrToken is matched by errors about a service that does not take the token (401, 403).
	ErrToken = errors.New("the token is refused")
	// ErrFailed is matched by errors about pins that a service has given up.
	ErrFailed = errors.New("pinning failed")
	// ErrConfig is matched by errors about services that cannot be described so.
	ErrConfig = errors.New("pinning service")
)

// Status is what became of a pin (spec, "Status").
type Status string

// What may become of a pin.
const (
	Queued  Status = "queued"
	Pinning Status = "pinning"
	Pinned  Status = "pinned"
	Failed  Status = "failed"
)

// Ended tells that a status stays as it is.
func (s Status) Ended() bool { return s == Pinned || s == Failed }

// Pin is one that a service has.
type Pin struct {
	ID        string // of the request
	CID       cid.Cid
	Name      string
	Status    Status
	Created   time.Time
	Origins   []string          // multiaddrs of who has it, as the service was told
	Delegates []string          // multiaddrs of who fetches it
	Info      map[string]string // what the service says besides
}

// Service is where and with which token a service is asked.
type Service struct {
	Name     string
	Endpoint string // URL, without a slash at its end
	Token    string
}

const (
	maxName    = 255     // characters of a pin's name (spec, "Pin")
	maxOrigins = 20      // (spec, "Pin")
	page       = 1000    // pins of one answer at most
	maxPins    = 100_000 // that are listed
	maxAnswer  = 16 << 20
	timeout    = time.Minute // of one request
)

// CheckEndpoint reads the URL of a service. Tokens are sent there, so plain is true for
// one that is neither TLS nor this machine. Errors match [ErrConfig].
func CheckEndpoint(text string) (endpoint string, plain bool, err error) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || strings.Contains(text, "@") {
		return "", false, fmt.Errorf("%w: its URL makes no sense, or has a user or password in it, which would be shown: give the token by itself", ErrConfig)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", false, fmt.Errorf("%w: %q is not its URL; write it as https://pins.example.com/psa", ErrConfig, text)
	}
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return strings.TrimSuffix(strings.TrimSuffix(u.String(), "/"), "/pins"), u.Scheme == "http" && !local, nil
}

// Client asks one service. It is safe for concurrent use.
type Client struct {
	service Service
	api     *openapi.APIClient
}

// New makes a client; nobody is asked yet.
func New(s Service) *Client {
	cfg := openapi.NewConfiguration()
	cfg.UserAgent = "image2ipfs"
	cfg.AddDefaultHeader("Authorization", "Bearer "+s.Token)
	cfg.Servers = openapi.ServerConfigurations{{URL: s.Endpoint}}
	cfg.HTTPClient = &http.Client{
		Transport: bounded{transport.New(4)}, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a token goes nowhere else
	}
	return &Client{service: s, api: openapi.NewAPIClient(cfg)}
}

// String names the service for humans, without the token.
func (c *Client) String() string { return c.service.Name + " (" + c.service.Endpoint + ")" }

// bounded cuts answers that are too long.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}

// Add asks the service to keep what is under root, under a name that is cut where it is
// too long; origins are multiaddrs of who has it. Errors match [ErrToken] or
// [ipfs.ErrUnavailable], or say why the service does not want to.
func (c *Client) Add(ctx context.Context, root cid.Cid, name string, origins []string) (Pin, error) {
	p := openapi.Pin{Cid: root.String()}
	if name != "" {
		p.SetName(cut(name))
	}
	if len(origins) > 0 {
		p.SetOrigins(origins[:min(len(origins), maxOrigins)])
	}
	status, resp, err := c.api.PinsApi.PinsPost(ctx).Pin(p).Execute() //nolint:bodyclose // the generated client has read and closed it
	if err != nil {
		return Pin{}, c.failure(resp, err)
	}
	return c.pin(status)
}

func cut(name string) string {
	if len(name) <= maxName {
		return name
	}
	return strings.ToValidUTF8(name[:maxName], "")
}

// Get tells what became of a pin. Errors are those of [Client.Add], and match
// [ipfs.ErrNotFound] when the service has it no more.
func (c *Client) Get(ctx context.Context, id string) (Pin, error) {
	status, resp, err := c.api.PinsApi.PinsRequestidGet(ctx, url.PathEscape(id)).Execute() //nolint:bodyclose // the generated client has read and closed it
	if err != nil {
		return Pin{}, c.failure(resp, err)
	}
	return c.pin(status)
}

// Remove has the service let go of a pin. Errors are those of [Client.Get].
func (c *Client) Remove(ctx context.Context, id string) error {
	resp, err := c.api.PinsApi.PinsRequestidDelete(ctx, url.PathEscape(id)).Execute() //nolint:bodyclose // the generated client has read and closed it
	if err != nil {
		return c.failure(resp, err)
	}
	return nil
}

// List lists the pins of some roots, or all, in any status, the newest first. Errors are
// those of [Client.Add].
func (c *Client) List(ctx context.Context, roots ...cid.Cid) (all []Pin, err error) {
	seen := map[string]bool{}
	var before time.Time
	for {
		ask := c.api.PinsApi.PinsGet(ctx).Limit(page).Status([]openapi.Status{openapi.QUEUED, openapi.PINNING, openapi.PINNED, openapi.FAILED})
		if len(roots) > 0 {
			texts := make([]string, len(roots))
			for i, root := range roots {
				texts[i] = root.String()
			}
			ask = ask.Cid(texts)
		}
		if !before.IsZero() {
			ask = ask.Before(before)
		}
		got, resp, err := ask.Execute() //nolint:bodyclose // the generated client has read and closed it
		if err != nil {
			return nil, c.failure(resp, err)
		}
		news := 0
		for _, status := range got.Results {
			if seen[status.Requestid] {
				continue
			}
			p, err := c.pin(status)
			if err != nil {
				return nil, err
			}
			seen[p.ID] = true
			all = append(all, p)
			news++
			if before.IsZero() || p.Created.Before(before) {
				before = p.Created
			}
		}
		if news == 0 || int(got.Count) <= len(got.Results) {
			slices.SortStableFunc(all, func(a, b Pin) int { return b.Created.Compare(a.Created) })
			return all, nil
		}
		if len(all) > maxPins {
			return nil, fmt.Errorf("%w: %s has more than %d pins", oci.ErrLimit, c, maxPins)
		}
	}
}

// pin reads what a service says of a pin.
func (c *Client) pin(s openapi.PinStatus) (Pin, error) {
	root, err := cid.Decode(s.Pin.Cid)
	if err != nil || s.Requestid == "" {
		return Pin{}, fmt.Errorf("%w: %s answers with a pin %q of %q, expected an ID and a CID", ipfs.ErrUnavailable, c, s.Requestid, s.Pin.Cid)
	}
	p := Pin{ID: s.Requestid, CID: root, Name: s.Pin.GetName(), Status: Status(s.Status), Created: s.Created, Delegates: s.Delegates}
	if s.Pin.Origins != nil {
		p.Origins = *s.Pin.Origins
	}
	if s.Info != nil {
		p.Info = *s.Info
	}
	return p, nil
}

// failure gives an error of the API the service's own words (spec, "Failure").
func (c *Client) failure(resp *http.Response, err error) error {
	if resp == nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // names the URL again
		}
		return fmt.Errorf("%w: pinning service %s does not answer: %w", ipfs.ErrUnavailable, c, err)
	}
	said := resp.Status
	var body struct {
		Error struct {
			Reason  string `json:"reason"`
			Details string `json:"details"`
		} `json:"error"`
	}
	if failed, ok := errors.AsType[openapi.GenericOpenAPIError](err); ok && json.Unmarshal(failed.Body(), &body) == nil && body.Error.Reason != "" {
		said += ": " + oci.Quoted(strings.TrimSpace(body.Error.Reason+" "+body.Error.Details))
	}
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return fmt.Errorf("%w by %s: %s", ErrToken, c, said)
	case code == http.StatusNotFound:
		return fmt.Errorf("%w: %s answers %s", ipfs.ErrNotFound, c, said)
	case code == http.StatusTooManyRequests || code >= 500:
		return fmt.Errorf("%w: %s answers %s", ipfs.ErrUnavailable, c, said)
	case code >= 200 && code < 300:
		return fmt.Errorf("%w: %s answers what is no answer of a pinning service: %w", ipfs.ErrUnavailable, c, err)
	}
	return fmt.Errorf("%s answers %s", c, said)
}

// Wait asks again and again until a pin has ended, and calls tell whenever something has
// changed, and at first. Who does not answer in between is asked on until ctx ends. Errors
// match [ErrFailed] for a pin that the service gave up, or are those of [Client.Get].
func (c *Client) Wait(ctx context.Context, p Pin, tell func(Pin)) (Pin, error) {
	tell(p)
	for pause := 250 * time.Millisecond; !p.Status.Ended(); pause = min(2*pause, 5*time.Second) {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return p, ctx.Err()
		}
		now, err := c.Get(ctx, p.ID)
		if errors.Is(err, ipfs.ErrUnavailable) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return p, err
		}
		if changed := now.Status != p.Status || InfoText(now.Info) != InfoText(p.Info); changed {
			tell(now)
		}
		p = now
	}
	if p.Status == Failed {
		return p, fmt.Errorf("%w: %s gave up %s%s", ErrFailed, c, p.CID, because(p.Info))
	}
	return p, nil
}

func because(info map[string]string) string {
	if text := InfoText(info); text != "" {
		return ": " + text
	}
	return ", and does not say why"
}

// InfoText is what a service says of a pin besides, in one line.
func InfoText(info map[string]string) string {
	var parts []string
	for key, value := range info {
		if value != "" {
			parts = append(parts, key+": "+value)
		}
	}
	slices.Sort(parts)
	return oci.Quoted(strings.Join(parts, "; "))
}
