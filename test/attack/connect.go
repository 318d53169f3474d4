//go:build linux

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// attacker is where attacks come from.
var attacker = net.IPv4(127, 0, 0, 2)

// anyCertificate is for clients of a server whose certificate was made for a test.
func anyCertificate(protocols ...string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: protocols}
}

// receiveBuffer is that of attackers, in bytes, from the first packet on: what they do
// not take lies on their side in the memory for TCP of the one machine that both run on,
// which another machine's would not.
const receiveBuffer = 4096

// connect connects as an attacker with an address of the server.
func (t *aim) connect(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: attacker}, Timeout: 2 * time.Second, Control: func(_, _ string, c syscall.RawConn) (err error) {
		if failed := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
		}); failed != nil {
			return failed
		}
		return err
	}}
	return d.DialContext(ctx, "tcp", addr)
}

// dial connects as one who takes little at a time, with TLS where the server has it.
func (t *aim) dial(ctx context.Context, protocols ...string) (net.Conn, error) {
	raw, err := t.connect(ctx, t.Addr)
	if err != nil {
		return nil, err
	}
	if !t.TLS {
		return raw, nil
	}
	c := tls.Client(raw, anyCertificate(protocols...))
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return c, nil
}

// get sends a request and gives the connection on which the answer waits.
func (t *aim) get(ctx context.Context, path string) (net.Conn, error) {
	c, err := t.dial(ctx, "http/1.1")
	if err != nil {
		return nil, err
	}
	if _, err = fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// writeCertificate makes a certificate for the loopback, and its key.
func writeCertificate(dir string) (cert, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return "", "", err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	return cert, key, errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
}
