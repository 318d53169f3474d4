package server

import (
	"context"
	"crypto/tls"
	"fmt"

	"github.com/image2ipfs/image2ipfs/internal/input"
	"github.com/image2ipfs/image2ipfs/internal/reread"
)

// TLS makes the configuration of a server whose certificate (PEM, with its
// chain) and key lie in two files. Both are read again when they change, so
// that a renewed certificate needs no restart; as long as what is there then is
// no pair, the old one is used and the logger is told. What is no regular file, such as a
// named pipe, is read once; until ctx ends it waits for who writes it. The error names the
// files.
func TLS(ctx context.Context, certFile, keyFile string, o Options) (*tls.Config, error) {
	pair, err := reread.Open(o.Logger, "TLS", func() (*tls.Certificate, error) {
		pair, err := readPair(ctx, certFile, keyFile)
		if err != nil {
			return nil, fmt.Errorf("TLS certificate %s with key %s: %w", certFile, keyFile, err)
		}
		return &pair, nil
	}, certFile, keyFile)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.Get(), nil },
	}, nil
}

// maxPEM is how large a file with a certificate or a key may be, in bytes.
const maxPEM = 1 << 20

func readPair(ctx context.Context, certFile, keyFile string) (pair tls.Certificate, err error) {
	cert, err := input.ReadFile(ctx, certFile, maxPEM)
	if err != nil {
		return pair, err
	}
	key, err := input.ReadFile(ctx, keyFile, maxPEM)
	if err != nil {
		return pair, err
	}
	return tls.X509KeyPair(cert, key)
}
