package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/image2ipfs/image2ipfs/internal/input"
	"github.com/image2ipfs/image2ipfs/internal/transport"
)

const (
	perHost      = 16              // connections that are kept
	probeTimeout = 5 * time.Second // for a registry on the loopback to say whether it speaks TLS
)

// client sends the requests of a repository. It is oras's, but that a 404 of what is
// asked for by GET says what its body says.
type client struct {
	auth  *auth.Client
	plain bool        // without TLS
	byTag atomic.Bool // the registry has no API of referrers
	warn  func(remote.Warning)
}

func newClient(ctx context.Context, host, path string, o Options) (*client, error) {
	tlsConfig, err := certificates(ctx, host, certificateDirs())
	if err != nil {
		return nil, err
	}
	t := transport.New(perHost)
	t.TLSClientConfig, t.ResponseHeaderTimeout = tlsConfig, answerSilent
	stored := o.Credentials
	if stored == nil {
		if stored, err = Stored(); err != nil {
			return nil, err
		}
	}
	c := &client{auth: &auth.Client{
		Client: &http.Client{Transport: retry.NewTransport(watched{t, o.silence()})}, Cache: auth.NewCache(),
		Header: http.Header{"User-Agent": {"image2ipfs"}},
		Credential: func(ctx context.Context, asks string) (auth.Credential, error) {
			return stored(ctx, asks, path)
		},
	}}
	if o.Warn != nil {
		c.warn = func(w remote.Warning) { o.Warn(w.Text) }
	}
	if c.plain, err = speaksPlain(ctx, host, t); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrUnreachable, host, err)
	}
	return c, nil
}

// Do implements the client interface of oras.
func (c *client) Do(req *http.Request) (*http.Response, error) {
	res, err := c.auth.Do(req)
	if err != nil || res.StatusCode != http.StatusNotFound {
		return res, err
	}
	if strings.Contains(req.URL.Path, "/referrers/") {
		c.byTag.Store(true)
		return res, nil
	}
	if req.Method != http.MethodGet {
		return res, nil
	}
	return nil, readAbsent(res)
}

// speaksPlain tells whether a registry on the loopback answers without TLS. Others
// always have it.
func speaksPlain(ctx context.Context, host string, t *http.Transport) (bool, error) {
	if !isLoopback(host) {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/v2/", nil)
	if err != nil {
		return false, err
	}
	res, err := t.RoundTrip(req)
	if err == nil {
		return false, res.Body.Close()
	}
	var record tls.RecordHeaderError
	if errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, &record) {
		return true, nil
	}
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
		return false, fmt.Errorf("%w; put the certificate of who signed it into /etc/docker/certs.d/%s/ca.crt", err, host)
	}
	return false, err
}

// isLoopback tells whether a host, with or without a port, is this machine.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

// certificateDirs are where docker and podman look for certificates of registries.
func certificateDirs() []string {
	dirs := []string{"/etc/docker/certs.d", "/etc/containers/certs.d"}
	if config, err := os.UserConfigDir(); err == nil {
		dirs = append(dirs, filepath.Join(config, "docker", "certs.d"), filepath.Join(config, "containers", "certs.d"))
	}
	return dirs
}

// certificates are those of a registry in these directories: DIR/HOST/*.crt, of who
// signs, beside the system's, and *.cert with *.key, this client's own.
func certificates(ctx context.Context, host string, dirs []string) (*tls.Config, error) {
	var conf *tls.Config
	for _, dir := range dirs {
		files, err := os.ReadDir(filepath.Join(dir, host))
		if err != nil {
			continue // there is none for that registry
		}
		if conf == nil {
			pool, err := x509.SystemCertPool()
			if err != nil {
				return nil, err
			}
			conf = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
		}
		for _, f := range files {
			path := filepath.Join(dir, host, f.Name())
			switch filepath.Ext(path) {
			case ".crt":
				data, err := input.ReadFile(ctx, path, maxPEM)
				if err != nil {
					return nil, err
				}
				if !conf.RootCAs.AppendCertsFromPEM(data) {
					return nil, fmt.Errorf("%s: expected certificates in PEM, found none", path)
				}
			case ".cert":
				own, err := clientPair(ctx, path)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", path, err)
				}
				conf.Certificates = append(conf.Certificates, own)
			}
		}
	}
	return conf, nil
}

// maxPEM is how large a file with certificates or a key may be, in bytes.
const maxPEM = 4 << 20

// clientPair reads a client's certificate, and its key beside it.
func clientPair(ctx context.Context, cert string) (pair tls.Certificate, err error) {
	certPEM, err := input.ReadFile(ctx, cert, maxPEM)
	if err != nil {
		return pair, err
	}
	keyPEM, err := input.ReadFile(ctx, strings.TrimSuffix(cert, ".cert")+".key", maxPEM)
	if err != nil {
		return pair, err
	}
	return tls.X509KeyPair(certPEM, keyPEM)
}
