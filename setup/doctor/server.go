package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/redact"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

const serverTimeout = 15 * time.Second

// Server asks the server at a URL for the probe as engines do. OK means that
// engines can pull it from there.
func Server(ctx context.Context, server string, probe *Probe) Check {
	c := Check{Name: "server " + server, Status: Problem}
	trust := ""
	status, body, err := health(ctx, http.DefaultClient, server)
	if isUntrusted(err) {
		trust = ", with a certificate that this machine does not trust: each engine has to be told of its authority"
		ctx = context.WithValue(ctx, unverified{}, true)
		status, body, err = health(ctx, httpClient(ctx), server)
	}
	if c.Detail, c.Next = unwell(server, status, body, err); c.Detail != "" {
		return c
	}
	ctx, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	if c.Detail = mirrors(ctx, server); c.Detail != "" {
		c.Next = "point --server at image2ipfs serve itself, without a registry or proxy between"
		return c
	}
	if probe == nil {
		return Check{Name: c.Name, Status: OK, Detail: "answers" + trust}
	}
	c.Detail, c.Next = servesStore(ctx, server, probe)
	if c.Detail == "" {
		c.Detail = "serves what is published here; other names get 404"
		if probe.elsewhere != "" {
			c.Detail += "; sends for blobs to " + probe.elsewhere + ", where this machine gets them"
		}
		return Check{Name: c.Name, Status: OK, Detail: c.Detail + trust}
	}
	return c
}

// Healthy asks the server at a URL whether it is well, whoever signed its
// certificate. Errors match [ipfs.ErrUnavailable] and say what is wrong.
func Healthy(ctx context.Context, server string) error {
	status, body, err := health(ctx, http.DefaultClient, server)
	if isUntrusted(err) {
		ctx = context.WithValue(ctx, unverified{}, true)
		status, body, err = health(ctx, httpClient(ctx), server)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if detail, next := unwell(server, status, body, err); detail != "" {
		return fmt.Errorf("%w: server %s: %s\nNext: %s", ipfs.ErrUnavailable, server, detail, next)
	}
	return nil
}

// healthTimeout is far more than a server needs to say that it is well.
const healthTimeout = 5 * time.Second

// health asks a server whether it is well.
func health(ctx context.Context, c *http.Client, server string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/healthz", nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
	return resp.StatusCode, string(text), errors.Join(err, resp.Body.Close())
}

// anotherPort is what to do where something else listens on the server's.
const anotherPort = "choose another port: image2ipfs serve --addr 127.0.0.1:5002, and --server http://127.0.0.1:5002 here and with setup"

// unwell says what is wrong with a server that does not say that it is well, and
// what to do; all that is wrong has another answer than "start it" while something
// listens.
func unwell(server string, status int, body string, err error) (detail, next string) {
	other := "or name another with --server, here and with setup"
	plain, secure := "http"+strings.TrimPrefix(server, "https"), "https"+strings.TrimPrefix(server, "http")
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there", serveCommand(server) + "   # " + other
	case err != nil && strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "what listens there speaks HTTP, not HTTPS", "say --server " + plain + ", here and with setup"
	case status == http.StatusBadRequest && strings.Contains(body, "HTTP request to an HTTPS server"):
		return "what listens there speaks HTTPS, not HTTP", "say --server " + secure + ", here and with setup"
	case errors.Is(err, context.DeadlineExceeded) && !isDialing(err):
		return fmt.Sprintf("takes connections and says nothing within %v: it hangs, or is stopped", healthTimeout),
			"see who it is and end it, then start it anew: sudo ss -ltnp 'sport = :" + port(server) + "'   # " + other
	case err != nil && isDialing(err):
		return oneLine(err), "see the name and the way there (a firewall, a machine that is off); " + other
	case err != nil:
		return "what listens there does not speak HTTP as a registry does: " + oneLine(err), anotherPort
	case status == http.StatusServiceUnavailable:
		return "/healthz answers 503: " + orGone(body), "mend that on its machine; its log says more"
	case status == http.StatusUnauthorized:
		return "asks for user and password: it is the address for pushes of a server with --htpasswd", "point --server at the address of its --addr, here and with setup: engines send no password to a mirror"
	case status != http.StatusOK:
		return fmt.Sprintf("/healthz answers %d: something else listens there", status),
			anotherPort
	}
	return "", ""
}

// orGone is what /healthz says, in so far as it says anything.
func orGone(body string) string {
	if body = strings.TrimSpace(body); body != "" {
		return oci.Quoted(body)
	}
	return "its store is gone or damaged"
}

// isDialing tells errors of finding and reaching a machine from those of what
// answers there.
func isDialing(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// isUntrusted tells that a server's certificate is signed by an authority that
// this machine does not know, or is for other names.
func isUntrusted(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// unverified is set in a context in which servers' certificates do not count: each
// engine has authorities of its own, and its pull is the proof.
type unverified struct{}

func httpClient(ctx context.Context) *http.Client {
	if ctx.Value(unverified{}) == nil {
		return http.DefaultClient
	}
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // what is asked for is checked by its digest
	}}
}

// servesStore checks that the server gives what was just published; what is
// wrong otherwise, and what to do.
func servesStore(ctx context.Context, server string, probe *Probe) (detail, next string) {
	status, _, err := request(ctx, server+"/ipfs/"+probe.nonce.String()+"?format=raw")
	if err != nil {
		return oneLine(err), "see the server's log"
	}
	limited := status == http.StatusForbidden // for the nonce; the image may be allowed
	if status != http.StatusOK && !limited {
		return fmt.Sprintf("answers %d for what was just published into %s: it serves another store", status, probe.store),
			"run image2ipfs doctor as the server's user, with its IMAGE2IPFS_PATH: sudo -u image2ipfs IMAGE2IPFS_PATH=/var/lib/image2ipfs image2ipfs doctor   # as the packages have them"
	}
	status, digest, err := request(ctx, server+"/v2/"+ref.Ciq(probe.Root)+"/"+probeName+"/manifests/"+oci.DefaultTag)
	switch {
	case err != nil:
		return oneLine(err), "see the server's log"
	case limited && status == http.StatusForbidden:
		return "limits what it serves (--allow, --pinned) and not to doctor's own image, so nothing can be tried",
			"start it with that image allowed, too: image2ipfs serve … --allow " + ref.Ciq(probe.Root)
	case status != http.StatusOK:
		return fmt.Sprintf("answers %d for an image that was just published", status), "see the server's log"
	case digest != probe.Digest.String():
		return errOther(digest, probe.Digest).Error(), "see whether a proxy is between"
	}
	return blobs(ctx, server, probe)
}

// blobs fetches the probe's layer, wherever the server sends for it, and notes where
// that is. Who asks again soon is not sent away again: so each doctor, like each
// engine, has a name of its own.
func blobs(ctx context.Context, server string, probe *Probe) (detail, next string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/v2/"+ref.Ciq(probe.Root)+"/"+probeName+"/blobs/"+probe.layer.String(), nil)
	if err != nil {
		return oneLine(err), "see the server's log"
	}
	req.Header.Set("User-Agent", "image2ipfs-doctor/"+probe.nonce.String())
	resp, err := httpClient(ctx).Do(req)
	if err != nil {
		return "sends for a blob to where this machine does not get it: " + oneLine(err), "serve with --no-redirect, or with a --gateway that this machine reaches"
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, oci.MaxManifestSize))
	err = errors.Join(err, resp.Body.Close())
	if err != nil || resp.StatusCode != http.StatusOK || probe.layer.Algorithm().FromBytes(data) != probe.layer {
		return fmt.Sprintf("a blob is not what it should be: %s answers %d with %d bytes (%v)", redact.URL(resp.Request.URL.String()), resp.StatusCode, len(data), err), "serve with --no-redirect, or see that machine's log"
	}
	if at := resp.Request.URL; at.Host != req.URL.Host {
		probe.elsewhere = at.Scheme + "://" + at.Host
	}
	return "", ""
}

// mirrors checks that a name without a CID is sent on to its registry at once.
func mirrors(ctx context.Context, server string) string {
	status, _, err := request(ctx, server+"/v2/library/"+probeName+"/manifests/latest?ns=docker.io")
	switch {
	case err != nil:
		return oneLine(err)
	case status == http.StatusUnauthorized:
		return "asks for user and password (serve --auth-read), which engines do not send to a mirror"
	case status != http.StatusNotFound:
		return fmt.Sprintf("answers %d, expected 404, for a name without a CID: engines would not go on to their registry", status)
	}
	return ""
}

// request does a GET as engines do and gives the status and the digest.
func request(ctx context.Context, url string) (status int, digest string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json")
	resp, err := httpClient(ctx).Do(req)
	if err != nil {
		return 0, "", err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, oci.MaxManifestSize))
	return resp.StatusCode, resp.Header.Get("Docker-Content-Digest"), errors.Join(err, resp.Body.Close())
}

// serveCommand is what makes a server listen at a URL.
func serveCommand(server string) string {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" {
		return "image2ipfs serve"
	}
	command := "image2ipfs serve --addr " + net.JoinHostPort(u.Hostname(), port(server))
	if u.Scheme == "https" {
		command += " --tls-cert CERT.pem --tls-key KEY.pem"
	}
	return command
}

// port is that of a URL, or the one that its scheme stands for.
func port(server string) string {
	u, err := url.Parse(server)
	switch {
	case err != nil:
		return ""
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}
