package names

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
)

// Formats of keys outside of the store, as Kubo calls them (ipfs key export --format).
const (
	FormatProtobuf = "libp2p-protobuf-cleartext"
	FormatPEM      = "pem-pkcs8-cleartext"
)

// pemType is that of a key after PKCS #8 (RFC 7468, 10).
const pemType = "PRIVATE KEY"

// Export gives a key in one of the formats. The error matches [ErrKey] for another.
func (k Key) Export(format string) ([]byte, error) {
	switch format {
	case FormatProtobuf:
		return crypto.MarshalPrivateKey(k.priv)
	case FormatPEM:
		std, err := crypto.PrivKeyToStdKey(k.priv)
		if err != nil {
			return nil, err
		}
		if p, ok := std.(*ed25519.PrivateKey); ok { // crypto/x509 takes no pointer
			std = *p
		}
		der, err := x509.MarshalPKCS8PrivateKey(std)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrKey, k.Alias, err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), nil
	}
	return nil, fmt.Errorf("%w: format %q: there are %s and %s", ErrKey, format, FormatProtobuf, FormatPEM)
}

// Import keeps a key that was exported here or by Kubo, in either format; last is its
// last record, nil where that is not at hand, by which and for as long as it says the name
// is published on. The key of this store's node is refused:
// who moves a name would be that node. Errors match [ErrKey], [ErrKeyExists], and of
// last [ErrForged] or [ErrTooLarge].
func (s *Store) Import(alias string, data, last []byte) (Key, error) {
	return s.importKey(alias, data, last, true)
}

// importKey is Import; isLast tells that last is the last record, after which the key may
// sign, and not just one that was seen some time.
func (s *Store) importKey(alias string, data, last []byte, isLast bool) (Key, error) {
	priv, err := parseKey(data)
	if err != nil {
		return Key{}, fmt.Errorf("%w; want a file that image2ipfs name export or ipfs key export has written", err)
	}
	if s.isNode(priv) {
		return Key{}, fmt.Errorf("%w: it is that of this store's node, which no name is made of: image2ipfs name create makes one", ErrKey)
	}
	k, err := newKey(alias, priv)
	if err != nil {
		return k, err
	}
	var seen Record
	var lifetime time.Duration
	if last != nil {
		last, lifetime = withoutLifetime(last)
		if seen, err = verify(k.Name, last); err != nil {
			return k, err
		}
		lifetime = firstOf(lifetime, roundUp(time.Until(seen.Until), time.Hour))
	}
	return s.keep(alias, priv, func(st *state) error {
		st.Made, st.Mine, st.Stopped = false, nil, ""
		if last != nil {
			st.take(seen)
			st.TTL, st.Lifetime = firstOf(st.TTL, seen.TTL), firstOf(st.Lifetime, lifetime)
		}
		if last != nil && isLast {
			st.Mine, st.Got = seen.Raw, time.Now()
			st.TTL, st.Lifetime = firstOf(seen.TTL, st.TTL), firstOf(lifetime, st.Lifetime)
		}
		return nil
	})
}

// isNode tells whether a key is that of the node of the store.
func (s *Store) isNode(priv crypto.PrivKey) bool {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(s.dir), "identity"))
	if err != nil {
		return false
	}
	own, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil {
		return false
	}
	node, err := crypto.UnmarshalPrivateKey(own)
	return err == nil && node.Equals(priv)
}

func parseKey(data []byte) (crypto.PrivKey, error) {
	priv, err := parseAnyKey(data)
	if err != nil {
		return nil, err
	}
	switch priv.(type) { // those that Kubo takes
	case *crypto.Ed25519PrivateKey, *crypto.RsaPrivateKey:
		return priv, nil
	}
	return nil, fmt.Errorf("%w: one of type %s; names are of Ed25519 or RSA keys", ErrKey, priv.Type())
}

func parseAnyKey(data []byte) (crypto.PrivKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		priv, err := crypto.UnmarshalPrivateKey(data)
		if err != nil {
			return nil, fmt.Errorf("%w: the file holds no key that libp2p knows", ErrKey) // what it holds is not shown
		}
		return priv, nil
	}
	if block.Type != pemType {
		return nil, fmt.Errorf("%w: the file holds a %q, expected a %q", ErrKey, block.Type, pemType)
	}
	std, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	if p, ok := std.(ed25519.PrivateKey); ok {
		std = &p
	}
	priv, _, err := crypto.KeyPairFromStdKey(std)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return priv, nil
}
