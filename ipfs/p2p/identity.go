package p2p

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/image2ipfs/image2ipfs/internal/durable"
	"github.com/image2ipfs/image2ipfs/internal/owned"
)

// identityFile holds a node's private key as Kubo writes one: libp2p's
// protobuf in base64.
const identityFile = "identity"

// LoadIdentity reads the key in dir, and makes one if there is none. Of several
// processes that make it at once, all get the same.
func LoadIdentity(dir string) (crypto.PrivKey, error) {
	path := filepath.Join(dir, identityFile)
	key, err := readIdentity(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := makeIdentity(path); err != nil {
		return nil, fmt.Errorf("making the identity %s: %w", path, err)
	}
	return readIdentity(path)
}

// PeerID is the ID under which peers know the owner of a key.
func PeerID(key crypto.PrivKey) (string, error) {
	id, err := peer.IDFromPrivateKey(key)
	return id.String(), err
}

func readIdentity(path string) (crypto.PrivKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("identity %s: want a private key in base64: %w", path, err)
	}
	key, err := crypto.UnmarshalPrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("identity %s: %w", path, err)
	}
	return key, nil
}

// makeIdentity writes a new key durably under path, unless one is there.
func makeIdentity(path string) error {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return err
	}
	data, err := crypto.MarshalPrivateKey(key)
	if err != nil {
		return err
	}
	return durable.WriteNew(path, []byte(base64.StdEncoding.EncodeToString(data)+"\n"), owned.Give)
}
