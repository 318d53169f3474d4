package server

import (
	"crypto/tls"
	"fmt"

	"github.com/image2ipfs/image2ipfs/internal/reread"
)

// TLS makes the configuration of a server whose certificate (PEM, with its
// chain) and key lie in two files. Both are read again when they change, so
// that a renewed certificate needs no restart; as long as what is there then is
// no pair, the old one is used and the logger is told. The error names the files.
func TLS(certFile, keyFile string, o Options) (*tls.Config, error) {
	pair, err := reread.Open(o.Logger, "TLS", func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
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
