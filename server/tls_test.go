package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	bigint "math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/image2ipfs/image2ipfs/test/testlayout"
	"github.com/image2ipfs/image2ipfs/test/testlog"
)

// keyPair writes a new certificate for 127.0.0.1 with the serial number, and
// its key.
func keyPair(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: bigint.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A renewed certificate is used without a restart; a broken one must not take
// the server away from those who pull.
func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	keyPair(t, certFile, keyFile, 1)
	var log testlog.Log
	cfg, err := TLS(t.Context(), certFile, keyFile, Options{Logger: log.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	url, stop := serve(t, Config{Local: testlayout.NewBlocks(), TLS: cfg, Logger: log.Logger()})
	addr := strings.TrimPrefix(url, "http://")
	serial := func() int64 {
		t.Helper()
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	wait := func(what string, condition func() bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); !condition(); {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	if got := serial(); got != 1 {
		t.Errorf("serial %d at first", got)
	}
	keyPair(t, certFile, keyFile, 2)
	wait("the new certificate is not used", func() bool { return serial() == 2 })
	if err := os.WriteFile(certFile, []byte("half wri"), 0o600); err != nil {
		t.Fatal(err)
	}
	wait("nobody is told of the broken one", func() bool { return serial() == 2 && strings.Contains(log.String(), "of no use") })
	keyPair(t, certFile, keyFile, 3)
	wait("the repaired certificate is not used", func() bool { return serial() == 3 })
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// Engines speak HTTP/2 and HTTP/1.1 to a registry with TLS, and get the same.
func TestServeTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	keyPair(t, certFile, keyFile, 1)
	cfg, err := TLS(t.Context(), certFile, keyFile, Options{})
	if err != nil {
		t.Fatal(err)
	}
	blocks, mine, _ := twoImages(t)
	url, stop := serve(t, Config{Local: blocks, TLS: cfg})
	for _, http2 := range []bool{false, true} {
		tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: http2}
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, strings.Replace(url, "http:", "https:", 1)+mine.paths()[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusOK || resp.ProtoMajor == 2 != http2 {
			t.Errorf("HTTP/2 %t: %s %s", http2, resp.Proto, resp.Status)
		}
		resp.Body.Close()
		tr.CloseIdleConnections()
	}
	if _, err := tls.Dial("tcp", strings.TrimPrefix(url, "http://"), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestTLSNamesTheFile(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "nothing.pem")
	if _, err := TLS(t.Context(), missing, missing, Options{}); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("%v; want an error that names %s", err, missing)
	}
}
