package names

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/redact"
	"github.com/image2ipfs/image2ipfs/internal/transport"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Routing is a delegated routing server, which gives and takes records
// (https://specs.ipfs.tech/routing/http-routing-v1/, "IPNS API"). It is an
// [ipfs.RecordSource] and an [ipfs.RecordSink].
type Routing struct {
	url    string
	client *http.Client
}

var routingTransport = transport.New(4)

// NewRouting makes one of its URL, without "/routing/v1".
func NewRouting(rawURL string) (*Routing, error) {
	u, err := url.Parse(strings.TrimSpace(rawURL))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("routing server %q: want a URL such as https://delegated-ipfs.dev", redact.URL(rawURL))
	}
	return &Routing{strings.TrimRight(u.String(), "/"), &http.Client{Transport: routingTransport, CheckRedirect: stayOnHost}}, nil
}

// stayOnHost lets nobody but the user decide whom this machine talks to.
func stayOnHost(req *http.Request, via []*http.Request) error {
	if req.URL.Host != via[0].URL.Host || len(via) > 5 {
		return fmt.Errorf("it redirects to %s", redact.URL(req.URL.String()))
	}
	return nil
}

// String is the URL, without user and password.
func (r *Routing) String() string { return redact.URL(r.url) }

func (r *Routing) send(ctx context.Context, method, name string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.url+"/routing/v1/ipns/"+name, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", ipfs.TypeRecord)
	if body != nil {
		req.Header.Set("Content-Type", ipfs.TypeRecord)
	}
	resp, err := r.client.Do(req)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err // names the URL, with its password
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ipfs.ErrUnavailable, err)
	}
	return resp, nil
}

// Record implements [ipfs.RecordSource]. A server says that it has none by 404, or by
// a text (IPIP-513); whoever answers with something else, a page to log in by, is none.
func (r *Routing) Record(ctx context.Context, name string) ([]byte, time.Duration, error) {
	resp, err := r.send(ctx, http.MethodGet, name, nil)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	switch {
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusOK && kind == "text/plain":
		return nil, 0, fmt.Errorf("%w: it has no record of %s", ipfs.ErrNotFound, name)
	case resp.StatusCode != http.StatusOK:
		return nil, 0, fmt.Errorf("%w: it answers %s", ipfs.ErrUnavailable, resp.Status)
	case kind != ipfs.TypeRecord:
		return nil, 0, fmt.Errorf("%w: it answers with %q, expected %s", ipfs.ErrUnavailable, kind, ipfs.TypeRecord)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, ipfs.MaxRecord))
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ipfs.ErrUnavailable, err)
	}
	age, err := strconv.ParseUint(resp.Header.Get("Age"), 10, 31) // RFC 9111
	if err != nil {
		age = 0
	}
	return raw, time.Duration(age) * time.Second, nil
}

// PutRecord implements [ipfs.RecordSink].
func (r *Routing) PutRecord(ctx context.Context, name string, raw []byte) error {
	resp, err := r.send(ctx, http.MethodPut, name, raw)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
		return fmt.Errorf("%w: it answers %s: %s", ipfs.ErrUnavailable, resp.Status, strings.Join(strings.Fields(strings.ToValidUTF8(string(text), "?")), " "))
	}
	return nil
}
