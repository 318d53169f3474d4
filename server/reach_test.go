package server

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"
)

// identityDir is a CID that is itself a directory with an entry x.
func identityDir(t *testing.T, to cid.Cid) cid.Cid {
	t.Helper()
	n := merkledag.NodeWithData(unixfs.FolderPBData())
	return identityNode(t, n, &ipld.Link{Name: "x", Cid: to})
}

// identityFile is a CID that is itself a file whose only part is another's.
func identityFile(t *testing.T, to cid.Cid, size int) cid.Cid {
	t.Helper()
	fs := unixfs.NewFSNode(unixfs.TFile)
	fs.AddBlockSize(uint64(size))
	data, err := fs.GetBytes()
	if err != nil {
		t.Fatal(err)
	}
	return identityNode(t, merkledag.NodeWithData(data), &ipld.Link{Cid: to, Size: uint64(size)})
}

func identityNode(t *testing.T, n *merkledag.ProtoNode, link *ipld.Link) cid.Cid {
	t.Helper()
	if err := n.AddRawLink(link.Name, link); err != nil {
		t.Fatal(err)
	}
	mh, err := multihash.Sum(n.RawData(), multihash.IDENTITY, -1)
	if err != nil {
		t.Fatal(err)
	}
	return cid.NewCidV1(cid.DagProtobuf, mh)
}

// Whoever limits what is served must not give away the rest to those who wrap its
// CIDs in one that is its own content, name parts by themselves, or write the
// codec in another way. What lies below an allowed root is served, in every form.
func TestLimitsHoldWhateverTheSpelling(t *testing.T) {
	blocks, mine, other := twoImages(t)
	secret, err := blocks.Get(t.Context(), other.root)
	if err != nil {
		t.Fatal(err)
	}
	leaf := publish(t, blocks, 3<<20) // not allowed either
	s := start(t, Config{Local: blocks, LocalAhead: 4, Allow: Only(mine.root)})
	dir, file := identityDir(t, other.root).String(), identityFile(t, other.root, len(secret)).String()
	twice := identityDir(t, identityDir(t, other.root)).String()
	layer := identityDir(t, leaf.root).String() + "/x/blobs/sha256/" + leaf.layer.Encoded()
	refusedPaths := []string{
		dir + "/x", dir + "/x/index.json", dir + "/x/blobs", twice + "/x/x/index.json", file, layer,
		identityDir(t, cid.NewCidV1(cid.Raw, other.root.Hash())).String() + "/x",
		cid.NewCidV1(cid.Raw, other.root.Hash()).String(), cid.NewCidV1(cid.DagCBOR, other.root.Hash()).String(),
	}
	for _, path := range refusedPaths {
		for _, query := range []string{"", "?format=raw", "?format=car", "?format=car&dag-scope=entity", "?format=json"} {
			if path == file && query != "" && query != "?format=json" {
				continue // the node itself is in the CID, for all to read
			}
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				r := s.do(method, "/ipfs/"+path+query)
				nobody := query == "?format=json" && r.StatusCode == http.StatusNotAcceptable // which nobody is given
				if r.StatusCode != http.StatusForbidden && !nobody {
					t.Errorf("%s %s%s: %d, %d bytes", method, path, query, r.StatusCode, len(r.body))
				}
			}
		}
	}
	for _, root := range []string{dir, file, twice} { // a CAR that begins with what the CID is
		resp, err := client.Get(s.url + "/ipfs/" + root + "?format=car")
		if err != nil {
			continue // cut before the first byte
		}
		var got bytes.Buffer
		if _, err := got.ReadFrom(resp.Body); err == nil || bytes.Contains(got.Bytes(), secret) {
			t.Errorf("CAR of %s: whole (%v), %d bytes", root, err == nil, got.Len())
		}
		resp.Body.Close()
	}
	for _, path := range []string{"/v2/" + dir + "/x/manifests/latest", "/v2/" + dir + "/manifests/latest"} {
		if r := s.get(path); r.StatusCode == http.StatusOK {
			t.Errorf("%s: %d", path, r.StatusCode)
		}
	}
	for path, status := range map[string]int{
		"bafkqaaa?format=raw": 200, dir + "?format=raw": 200, dir + "/": 200, // what a CID holds itself
		mine.root.String() + "/blobs/sha256?format=car": 200, mine.root.String() + "/index.json?format=raw": 200,
		mine.root.String() + "/blobs/sha256/" + mine.manifest[len("sha256:"):]: 200,
	} {
		if r := s.get("/ipfs/" + path); r.StatusCode != status {
			t.Errorf("%s: %d %s, want %d", path, r.StatusCode, r.body, status)
		}
	}
}
