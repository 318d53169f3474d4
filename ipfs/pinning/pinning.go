// Package pinning asks services to keep what was published, by the IPFS Pinning Service
// API (spec of the same name, version 1.0.0): remote ones, and those of IPFS Cluster.
package pinning

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ipfs/boxo/pinning/remote/client/openapi"
	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/internal/redact"
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

	errNonsense = fmt.Errorf("%w: what comes is no answer of a pinning service", ipfs.ErrUnavailable)
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
	Err       error             // why what it is now cannot be told; nil where this was told last
}

// Service is where and with which token a service is asked.
type Service struct {
	Name     string
	Endpoint string // URL, without a slash at its end
	Token    string
}

// MaxName is how long the name of a pin may be, in bytes (spec, "Pin": 255 characters).
const MaxName = 255

const (
	maxOrigins = 20      // (spec, "Pin")
	page       = 1000    // pins of one answer at most
	maxPins    = 100_000 // that are listed
	maxAnswer  = 16 << 20
	maxSaid    = 500              // bytes of what a service says of a failure
	maxOdd     = 3                // answers that make no sense, after which a pin is not asked for any more
	patience   = 10 * time.Minute // for which one is waited for without a good answer
	timeout    = time.Minute      // of one request
)

// CheckEndpoint reads the URL of a service. Tokens are sent there, so plain is true for
// one that is neither TLS nor this machine. Errors match [ErrConfig].
func CheckEndpoint(text string) (endpoint string, plain bool, err error) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || strings.Contains(text, "@") {
		return "", false, fmt.Errorf("%w: its URL makes no sense, or has a user or password in it, which would be shown: give the token by itself", ErrConfig)
	}
	if port, wrong := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && (wrong != nil || port == 0) {
		return "", false, fmt.Errorf("%w: %q has the port %s, expected 1 to 65535", ErrConfig, text, u.Port())
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", false, fmt.Errorf("%w: %q is not its URL; write it as https://pins.example.com/psa", ErrConfig, text)
	}
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return strings.TrimSuffix(strings.TrimSuffix(u.String(), "/"), "/pins"), u.Scheme == "http" && !local, nil
}

// Client asks one service. It is safe for concurrent use.
type Client struct {
	service  Service
	api      *openapi.APIClient
	patience time.Duration
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
	return &Client{service: s, api: openapi.NewAPIClient(cfg), patience: patience}
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
		}{&limited{resp.Body, maxAnswer}, resp.Body}
	}
	return resp, err
}

// limited says that an answer is too long, where [io.LimitReader] would end it.
type limited struct {
	io.Reader
	left int
}

func (l *limited) Read(p []byte) (n int, err error) {
	if n, err = l.Reader.Read(p); n > l.left {
		return l.left, fmt.Errorf("%w: the answer has more than %d bytes", oci.ErrLimit, maxAnswer)
	}
	l.left -= n
	return n, err
}

// Add asks the service to keep what is under root, under a name that is cut where it is
// longer than [MaxName]; origins are multiaddrs of who has it. Errors match [ErrToken] or
// [ipfs.ErrUnavailable], or say why the service does not want to.
func (c *Client) Add(ctx context.Context, root cid.Cid, name string, origins []string) (Pin, error) {
	status, resp, err := c.api.PinsApi.PinsPost(ctx).Pin(request(root, name, origins)).Execute() //nolint:bodyclose // the generated client has read and closed it
	if err != nil {
		return Pin{}, c.failure(resp, err)
	}
	return c.pinOf(status, root)
}

// Replace is Add in place of a request that there is, with its ID; the new one has
// another. Errors are those of [Client.Get].
func (c *Client) Replace(ctx context.Context, id string, root cid.Cid, name string, origins []string) (Pin, error) {
	status, resp, err := c.api.PinsApi.PinsRequestidPost(ctx, url.PathEscape(id)).Pin(request(root, name, origins)).Execute() //nolint:bodyclose // the generated client has read and closed it
	if err != nil {
		return Pin{}, c.failure(resp, err)
	}
	return c.pinOf(status, root)
}

func request(root cid.Cid, name string, origins []string) openapi.Pin {
	p := openapi.Pin{Cid: root.String()}
	if name != "" {
		p.SetName(cut(name))
	}
	if len(origins) > 0 {
		p.SetOrigins(origins[:min(len(origins), maxOrigins)])
	}
	return p
}

// pinOf is pin for an answer that has to be about root.
func (c *Client) pinOf(s openapi.PinStatus, root cid.Cid) (Pin, error) {
	p, err := c.pin(s)
	if err == nil && !sameContent(p.CID, root) {
		return Pin{}, fmt.Errorf("%w: %s answers about %s, and was asked about %s", errNonsense, c, p.CID, root)
	}
	return p, err
}

// sameContent compares CIDs of whichever version.
func sameContent(a, b cid.Cid) bool { return a.Type() == b.Type() && bytes.Equal(a.Hash(), b.Hash()) }

func cut(name string) string {
	if len(name) <= MaxName {
		return name
	}
	return strings.ToValidUTF8(name[:MaxName], "")
}

// Get tells what became of a pin. Errors are those of [Client.Add], and match
// [ipfs.ErrNotFound] when the service has it no more.
func (c *Client) Get(ctx context.Context, id string) (Pin, error) {
	status, resp, err := c.api.PinsApi.PinsRequestidGet(ctx, url.PathEscape(id)).Execute() //nolint:bodyclose // the generated client has read and closed it
	if err != nil {
		return Pin{}, c.failure(resp, err)
	}
	p, err := c.pin(status)
	if err == nil && p.ID != id {
		return Pin{}, fmt.Errorf("%w: %s answers about the request %s, and was asked about %s", errNonsense, c, oci.Quoted(p.ID), oci.Quoted(id))
	}
	return p, err
}

// Remove has the service let go of a pin. Errors are those of [Client.Get].
func (c *Client) Remove(ctx context.Context, id string) error {
	resp, err := c.api.PinsApi.PinsRequestidDelete(ctx, url.PathEscape(id)).Execute() //nolint:bodyclose // the generated client has read and closed it
	if err != nil {
		return c.failure(resp, err)
	}
	return nil
}

// List lists all pins of some roots, or all that there are, in any status, the newest
// first. The service gives them in parts, each of what was made before a time (spec,
// "Pagination"): where more than fit into a part were made at one time, the others cannot
// be had. Then, as when the service gives fewer than it counts, the error matches
// [ipfs.ErrUnavailable]. Others are those of [Client.Add].
func (c *Client) List(ctx context.Context, roots ...cid.Cid) (all []Pin, err error) {
	seen := map[string]bool{}
	var before, oldest time.Time
	for total := -1; ; {
		got, err := c.part(ctx, before, roots)
		if err != nil {
			return nil, err
		}
		total = max(total, int(got.Count))
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
			if oldest.IsZero() || p.Created.Before(oldest) {
				oldest = p.Created
			}
		}
		next := oldest.Add(time.Millisecond) // those of the same time come again, and more of them
		if news == 0 || next.Equal(before) {
			next = oldest
		}
		switch {
		case len(all) > maxPins:
			return nil, fmt.Errorf("%w: %s has more than %d pins", oci.ErrLimit, c, maxPins)
		case len(all) >= total:
			slices.SortStableFunc(all, func(a, b Pin) int { return b.Created.Compare(a.Created) })
			return all, nil
		case len(got.Results) == 0, next.Equal(before):
			return nil, fmt.Errorf("%w: %s says that it has %d pins and gives %d of them: more were made at one time than it gives at once, or some have gone meanwhile: try again", ipfs.ErrUnavailable, c, total, len(all))
		}
		before = next
	}
}

// part lists the newest pins of roots that were made before a time, in any status.
func (c *Client) part(ctx context.Context, before time.Time, roots []cid.Cid) (openapi.PinResults, error) {
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
		return got, c.failure(resp, err)
	}
	return got, nil
}

// pin reads what a service says of a pin.
func (c *Client) pin(s openapi.PinStatus) (Pin, error) {
	root, err := cid.Decode(s.Pin.Cid)
	if err != nil || s.Requestid == "" {
		return Pin{}, fmt.Errorf("%w: %s answers with a pin %q of %q, expected an ID and a CID", errNonsense, c, s.Requestid, s.Pin.Cid)
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
		text := strings.TrimSpace(body.Error.Reason + " " + body.Error.Details)
		if len(text) > maxSaid {
			text = strings.ToValidUTF8(text[:maxSaid], "") + "…"
		}
		said += ": " + oci.Quoted(text)
	}
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return fmt.Errorf("%w by %s: %s", ErrToken, c, said)
	case code == http.StatusNotFound:
		return fmt.Errorf("%w: %s answers %s", ipfs.ErrNotFound, c, said)
	case code == http.StatusTooManyRequests || code >= 500:
		return fmt.Errorf("%w: %s answers %s", ipfs.ErrUnavailable, c, said)
	case code >= 200 && code < 300:
		return fmt.Errorf("%w: %s: %w", errNonsense, c, err)
	case code >= 300 && code < 400:
		return fmt.Errorf("%s answers %s, and leads to %s, where the token is not sent: if that is right, image2ipfs service add --replace %s URL takes that URL", c, said, oci.Quoted(redact.URL(resp.Header.Get("Location"))), c.service.Name)
	}
	return fmt.Errorf("%s answers %s", c, said)
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
