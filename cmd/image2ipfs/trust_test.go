package main

import (
	"crypto/elliptic"
	"errors"
	"testing"

	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/test/testsign"
	"github.com/image2ipfs/image2ipfs/trust"
)

// verify --key refuses an image that has nothing but a signature of another one.
func TestSmuggledImage(t *testing.T) {
	by := testsign.NewECDSA(t, elliptic.P256(), testsign.SHA256)
	policy := testsign.Policy(t, by)
	for _, s := range testsign.Smuggle(t, by) {
		for _, name := range []ref.Name{{Root: s.Root}, {Root: s.Root, Repository: "app", Tag: "1"}, {Root: s.Root, Digest: s.Image.Digest}} {
			if found, err := signatures(t.Context(), policy, s.Blocks, name); !errors.Is(err, trust.ErrUntrusted) {
				t.Errorf("%s, %s: %v %v", s.How, name, found, err)
			}
		}
	}
}
