package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	trustless "github.com/image2ipfs/image2ipfs/ipfs/gateway"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/registrytest"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// An engine that pulls a name must get what `image2ipfs pull` gets.
func TestNames(t *testing.T) {
	questions(t, func(n ref.Name) (path, query string) {
		path = "/v2/" + ref.Ciq(n.Root)
		if n.Repository != "" {
			path += "/" + n.Repository
		}
		return path, ""
	})
}

// Engines that know this server as a mirror get the same: containerd says the host of a
// name by ns, and dockerd asks for names without host, to which it adds library/.
func TestNamesOfMirrors(t *testing.T) {
	questions(t, func(n ref.Name) (path, query string) {
		if n.Repository == "" {
			return "/v2/library/" + ref.Ciq(n.Root), "?ns=docker.io"
		}
		return "/v2/" + n.Repository, "?ns=" + ref.Ciq(n.Root)
	})
}

// questions asks a server by the path of each repository.
func questions(t *testing.T, at func(ref.Name) (path, query string)) {
	kinds := map[errorCode]error{codeNameUnknown: oci.ErrNameUnknown, codeManifestUnknown: oci.ErrManifestUnknown, codeManifestInvalid: oci.ErrManifestInvalid}
	registrytest.Questions(t, func(t *testing.T, blocks *testlayout.Blocks, n ref.Name) (digest.Digest, error) {
		s := start(t, Config{Local: blocks})
		path, query := at(n)
		ask := func(reference string) (digest.Digest, error) {
			got := s.both(path + "/manifests/" + reference + query)
			if got.StatusCode == http.StatusOK {
				return digest.Digest(got.Header.Get("Docker-Content-Digest")), nil
			}
			var body struct {
				Errors []struct{ Code, Message string }
			}
			if err := json.Unmarshal(got.body, &body); err != nil || len(body.Errors) != 1 {
				t.Fatalf("error body %q: %v", got.body, err)
			}
			return "", fmt.Errorf("%w: %s", kinds[errorCode(body.Errors[0].Code)], body.Errors[0].Message)
		}
		tag := n.Tag
		if tag == "" {
			tag = oci.DefaultTag
		}
		if n.Digest == "" {
			return ask(tag)
		}
		if n.Tag != "" { // engines ask for both, and compare
			byTag, err := ask(tag)
			if err == nil && byTag != n.Digest {
				err = fmt.Errorf("%w: %s and %s contradict", oci.ErrManifestUnknown, byTag, n.Digest)
			}
			if err != nil {
				return "", err
			}
		}
		return ask(n.Digest.String())
	})
}

// A layout means the same where its blocks come through a gateway, as from
// another image2ipfs.
func TestReaderOverGateway(t *testing.T) {
	registrytest.RunOver(t, func(t *testing.T, blocks *testlayout.Blocks, _ cid.Cid) ipfs.Getter {
		g, err := trustless.New(start(t, Config{Local: blocks}).url, trustless.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return g
	})
}
