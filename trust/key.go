package trust

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/image2ipfs/image2ipfs/internal/input"
)

// Key is a public key: ECDSA on P-256, P-384 or P-521, Ed25519, or RSA of at least
// 2048 bits.
type Key struct {
	Name string // for humans: the name of the file that it came from
	// Fingerprint is the SHA-256 of the key as PKIX, in hex.
	Fingerprint string
	public      crypto.PublicKey
}

// String names the key for humans.
func (k *Key) String() string { return k.Name + " (" + k.Fingerprint[:16] + "…)" }

const (
	minRSA     = 2048
	maxKeyFile = 1 << 20 // bytes
	maxKeys    = 64      // of a policy: each signature is tried with each of them
)

// ReadKeys reads files with public keys in PEM, as cosign generate-key-pair and openssl
// write them; each may have several. Of a named pipe it waits for who writes, until ctx
// ends. Errors match [ErrKey], or are those of reading files.
func ReadKeys(ctx context.Context, files ...string) (all []*Key, err error) {
	for _, file := range files {
		data, err := readKeyFile(ctx, file)
		if err != nil {
			return nil, err
		}
		keys, err := ParseKeys(file, data)
		if err != nil {
			return nil, err
		}
		for _, k := range keys { // messages go to clients, too, whom directories here do not concern
			k.Name = filepath.Base(file)
		}
		all = append(all, keys...)
	}
	return all, nil
}

func readKeyFile(ctx context.Context, file string) ([]byte, error) {
	data, err := input.ReadFile(ctx, file, maxKeyFile)
	if errors.Is(err, input.ErrTooLarge) {
		err = fmt.Errorf("%w: %w, expected a key in PEM", ErrKey, err)
	}
	return data, err
}

// ParseKeys reads public keys in PEM, of types PUBLIC KEY (RFC 7468, section 13) and RSA
// PUBLIC KEY; name is what errors and messages call them. Errors match [ErrKey].
func ParseKeys(name string, data []byte) (all []*Key, err error) {
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		key, err := parseKey(name, block)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrKey, name, err)
		}
		all = append(all, key)
	}
	if len(all) == 0 || len(bytes.TrimSpace(data)) > 0 {
		return nil, fmt.Errorf("%w: %s is no public key in PEM, which begins with -----BEGIN PUBLIC KEY-----", ErrKey, name)
	}
	return all, nil
}

func parseKey(name string, block *pem.Block) (*Key, error) {
	var public any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("that is the private key, which is for whoever signs: give the public one, such as cosign.pub (cosign public-key --key makes it)")
	default:
		return nil, fmt.Errorf("the PEM holds a %q, expected a PUBLIC KEY", block.Type)
	}
	if err != nil {
		return nil, err
	}
	if err := suits(public); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	return &Key{Name: name, Fingerprint: hex.EncodeToString(sum[:]), public: public}, nil
}

// suits refuses keys that no signature can be checked with, or that are too weak.
func suits(public any) error {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() && k.Curve != elliptic.P521() {
			return fmt.Errorf("an ECDSA key on the curve %s: expected P-256, P-384 or P-521", k.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSA {
			return fmt.Errorf("an RSA key of %d bits: expected %d or more", k.N.BitLen(), minRSA)
		}
	default:
		return fmt.Errorf("a key of type %T: expected ECDSA, Ed25519 or RSA", public)
	}
	return nil
}

// verifies tells whether signature is one of message by the key. Cosign hashes by SHA-256
// whatever the curve, Sigstore's other clients by what suits the curve; Ed25519 signs
// messages or their hashes (RFC 8032, section 5.1), RSA as PKCS #1 v1.5 or PSS.
func (k *Key) verifies(message, signature []byte) bool {
	short := sha256.Sum256(message)
	switch public := k.public.(type) {
	case *ecdsa.PublicKey:
		hashes := [][]byte{short[:]}
		switch public.Curve {
		case elliptic.P384():
			sum := sha512.Sum384(message)
			hashes = append(hashes, sum[:])
		case elliptic.P521():
			sum := sha512.Sum512(message)
			hashes = append(hashes, sum[:])
		}
		for _, hash := range hashes {
			if ecdsa.VerifyASN1(public, hash, signature) {
				return true
			}
		}
		return false
	case ed25519.PublicKey:
		if ed25519.Verify(public, message, signature) {
			return true
		}
		sum := sha512.Sum512(message)
		return ed25519.VerifyWithOptions(public, sum[:], signature, &ed25519.Options{Hash: crypto.SHA512}) == nil
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, short[:], signature) == nil ||
			rsa.VerifyPSS(public, crypto.SHA256, short[:], signature, nil) == nil
	}
	return false
}
