package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/gateway"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

const serverTimeout = 15 * time.Second

// Server asks the server at a URL for the probe as engines do. OK means that
// engines can pull it from there.
func Server(ctx context.Context, server string, probe *Probe) Check {
	ctx, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	c := Check{Name: "server " + server, Status: Problem}
	status, _, err := request(ctx, server+"/healthz")
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		c.Detail, c.Next = "nothing listens there", "image2ipfs serve --addr "+address(server)+"   # or name another with --server"
		return c
	case err != nil:
		c.Detail, c.Next = oneLine(err), "image2ipfs serve --addr "+address(server)+"   # or name another with --server"
		return c
	case status != http.StatusOK:
		c.Detail = fmt.Sprintf("/healthz answers %d: something else listens there, or the server is not well", status)
		c.Next = "see its log; if it is no image2ipfs, choose another port: image2ipfs serve --addr 127.0.0.1:5001, and --server http://127.0.0.1:5001 here and with setup"
		return c
	}
	if c.Detail = mirrors(ctx, server); c.Detail != "" {
		c.Next = "point --server at image2ipfs serve itself, without a registry or proxy between"
		return c
	}
	if probe == nil {
		return Check{Name: c.Name, Status: OK, Detail: "answers"}
	}
	c.Detail, c.Next = servesStore(ctx, server, probe)
	if c.Detail == "" {
		return Check{Name: c.Name, Status: OK, Detail: "serves what is published here; other names get 404"}
	}
	return c
}

// servesStore checks that the server gives what was just published; what is
// wrong otherwise, and what to do.
func servesStore(ctx context.Context, server string, probe *Probe) (detail, next string) {
	status, _, err := request(ctx, server+"/ipfs/"+probe.nonce.String()+"?format=raw")
	if err != nil {
		return oneLine(err), "see the server's log"
	}
	if status != http.StatusOK {
		return fmt.Sprintf("answers %d for what was just published into %s: it serves another store", status, probe.store),
			"run image2ipfs doctor as the server's user, or with its IMAGE2IPFS_PATH"
	}
	status, digest, err := request(ctx, server+"/v2/"+ref.Ciq(probe.Root)+"/"+probeName+"/manifests/"+oci.DefaultTag)
	switch {
	case err != nil:
		return oneLine(err), "see the server's log"
	case status != http.StatusOK:
		return fmt.Sprintf("answers %d for an image that was just published", status), "see the server's log"
	case digest != probe.Digest.String():
		return errOther(digest, probe.Digest).Error(), "see whether a proxy is between"
	}
	return "", ""
}

// mirrors checks that a name without a CID is sent on to its registry at once.
func mirrors(ctx context.Context, server string) string {
	status, _, err := request(ctx, server+"/v2/library/"+probeName+"/manifests/latest?ns=docker.io")
	switch {
	case err != nil:
		return oneLine(err)
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
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, oci.MaxManifestSize))
	return resp.StatusCode, resp.Header.Get("Docker-Content-Digest"), errors.Join(err, resp.Body.Close())
}

// address is what to give serve --addr for a URL.
func address(server string) string {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" {
		return server
	}
	if strings.Contains(u.Host, ":") {
		return u.Host
	}
	return u.Host + ":80"
}

// emptyDirectory is a CID that every IPFS node has.
var emptyDirectory = cid.MustParse("bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354")

// Gateway checks that an IPFS gateway answers as the trustless gateway
// specification wants it.
func Gateway(ctx context.Context, address string) Check {
	c := Check{Name: "gateway " + address, Status: Problem}
	g, err := gateway.New(address, gateway.Options{})
	if err != nil {
		c.Detail, c.Next = oneLine(err), "write it as http://host:port"
		return c
	}
	ctx, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	began := time.Now()
	err = g.Has(ctx, emptyDirectory)
	if err != nil && !errors.Is(err, ipfs.ErrNotFound) {
		c.Detail, c.Next = oneLine(err), "start it, or leave it out of --gateway and IPFS_GATEWAY"
		return c
	}
	c.Status, c.Detail = OK, fmt.Sprintf("answers in %v", time.Since(began).Round(time.Millisecond))
	return c
}
