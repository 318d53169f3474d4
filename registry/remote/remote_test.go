package remote_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry"
	"github.com/image2ipfs/image2ipfs/registry/registrytest"
	"github.com/image2ipfs/image2ipfs/registry/remote"
	"github.com/image2ipfs/image2ipfs/server"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// nobody has no credentials.
func nobody(context.Context, string, string) (auth.Credential, error) {
	return auth.EmptyCredential, nil
}

// What a registry elsewhere answers is the answer that its images give here.
func TestReader(t *testing.T) {
	registrytest.RunReader(t, func(t *testing.T, blocks *testlayout.Blocks, root cid.Cid) registry.Reader {
		s, err := server.New(server.Config{Local: blocks})
		if err != nil {
			t.Fatal(err)
		}
		web := httptest.NewServer(s)
		t.Cleanup(func() {
			web.Close()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		r, err := remote.Open(t.Context(), strings.TrimPrefix(web.URL, "http://"), ref.Ciq(root), remote.Options{Credentials: nobody})
		if err != nil {
			t.Fatal(err)
		}
		return r
	})
}
