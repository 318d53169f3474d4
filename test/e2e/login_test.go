//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// certificate writes a certificate for 127.0.0.1 and these names, which is its own
// authority, and its key.
func certificate(t *testing.T, names ...string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "ca.crt"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// login is a client that logs in, pushes an image and pulls it, with a configuration
// directory of its own.
type login struct {
	engine string
	in     func(dir, addr string) []string // arguments of its login, the password on standard input
	push   func(t *testing.T, c command, dir, ref string) error
}

// logins are the clients that can log in.
func logins(t *testing.T) []login {
	layout := "oci:" + archivePath(t, "small.skopeo") + ":small:1"
	docker := login{
		in: func(dir, addr string) []string {
			return []string{"--config", dir, "login", "-u", "ann", "--password-stdin", addr}
		},
		push: func(t *testing.T, c command, dir, ref string) error {
			return dockerPush(t, append(c[:len(c):len(c)], "--config", dir), ref)
		},
	}
	docker20, docker28 := docker, docker
	docker20.engine, docker28.engine = "dockerd20", "dockerd28"
	containers := func(engine string, copies func(t *testing.T, c command, auth, ref string) error) login {
		return login{engine: engine,
			in: func(dir, addr string) []string {
				return []string{"login", "--tls-verify=false", "--authfile", filepath.Join(dir, "auth.json"), "-u", "ann", "--password-stdin", addr}
			},
			push: func(t *testing.T, c command, dir, ref string) error {
				return copies(t, c, filepath.Join(dir, "auth.json"), ref)
			},
		}
	}
	return []login{
		docker20, docker28,
		containers("skopeo", func(t *testing.T, c command, auth, ref string) error {
			if _, err := c.output(deadline(t), "copy", "--all", "--dest-authfile", auth, "--dest-tls-verify=false", layout, "docker://"+ref); err != nil {
				return err
			}
			_, err := c.output(deadline(t), "inspect", "--authfile", auth, "--tls-verify=false", "docker://"+ref)
			return err
		}),
		containers("podman", func(t *testing.T, c command, auth, ref string) error {
			id, err := c.output(deadline(t), "pull", "--quiet", layout)
			if err != nil {
				return err
			}
			_, err = c.output(deadline(t), "push", "--authfile", auth, "--tls-verify=false", id, ref)
			return err
		}),
	}
}

// Clients log in with the user and password of a file, push and pull by TLS; without
// them, or with a wrong one, they are refused.
func TestPushLogin(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("s3cret"), bcrypt.DefaultCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(file, append([]byte("ann:"), hash...), 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key := certificate(t)
	p := newProgram(t)
	plain, secure := freeAddr(t), freeAddr(t)
	p.serve(t, freeAddr(t), "--push", plain, "--htpasswd", file)
	other := newProgram(t)
	other.serve(t, freeAddr(t), "--push", secure, "--htpasswd", file, "--push-tls-cert", cert, "--push-tls-key", key)
	for _, client := range logins(t) {
		t.Run(client.engine, func(t *testing.T) {
			c := commandFor(client.engine)
			if c == nil {
				missing(t, client.engine, "not there")
				return
			}
			addr := plain
			if client.engine == "skopeo" || client.engine == "podman" {
				addr = secure
			}
			dir, name := t.TempDir(), client.engine+":1"
			if err := client.push(t, c, dir, addr+"/"+name); err == nil {
				t.Error("pushes without a password")
			}
			var said strings.Builder
			if err := c.pipe(deadline(t), strings.NewReader("wrong"), &said, client.in(dir, addr)...); err == nil {
				t.Error("logs in with a wrong password")
			}
			if err := c.pipe(deadline(t), strings.NewReader("s3cret"), &said, client.in(dir, addr)...); err != nil {
				t.Fatal(err)
			}
			if err := client.push(t, c, dir, addr+"/"+name); err != nil {
				t.Fatal(err)
			}
			from := p
			if addr == secure {
				from = other
			}
			if _, err := from.command().output(deadline(t), "verify", name); err != nil {
				t.Error(err)
			}
			results.progress("%s has logged in and pushed", client.engine)
		})
	}
}
