//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"
)

const (
	leafSize = 1 << 20
	// mostJSON is the largest that a manifest or index may be.
	mostJSON = 4 << 20
)

// gateway has images that are made to cost much. Some of its blocks never come.
type gateway struct {
	url    string
	blocks map[string][]byte
	stalls map[string]bool

	costly  []string // paths of indices of 4 MiB, full of annotations or of URLs
	stalled []string // paths of manifests of 4 MiB whose last block does not come
	layers  []string // paths of blobs of 64 MiB
}

// newGateway makes one and serves it until the program ends.
func newGateway(scale int) (*gateway, error) {
	g := &gateway{blocks: map[string][]byte{}, stalls: map[string]bool{}}
	for i := range 64 / scale {
		g.costly = append(g.costly, g.image(fmt.Sprintf(`{"schemaVersion":2,"manifests":[],"annotations":{"_":"%d"`, i), func(k int) string { return fmt.Sprintf(`,"%x":""`, k) }, "}}"))
		g.costly = append(g.costly, g.image(fmt.Sprintf(`{"schemaVersion":2,"annotations":{"_":"%d"},"manifests":[{"digest":"","urls":[""`, i), func(int) string { return `,""` }, "]}]}"))
	}
	leaf := g.raw(make([]byte, leafSize))
	var entries []entry
	for i := range 800 / scale {
		last := g.raw(fmt.Appendf(nil, "%01000d", i))
		g.stalls[string(last.Hash())] = true
		name := sha256.Sum256(fmt.Append(nil, i))
		entries = append(entries, entry{hex.EncodeToString(name[:]), g.file([]uint64{leafSize, leafSize, leafSize, 1000}, leaf, leaf, leaf, last)})
	}
	root := g.layout([]byte(`{"schemaVersion":2,"manifests":[]}`), entries...)
	for _, e := range entries {
		g.stalled = append(g.stalled, "/v2/"+root.String()+"/x/manifests/sha256:"+e.name)
	}
	g.longBlobs(max(1, 250/scale))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	g.url = "http://" + l.Addr().String()
	server := &http.Server{Handler: g, ReadHeaderTimeout: time.Minute}
	go func() { fmt.Println("the gateway ended:", server.Serve(l)) }()
	return g, nil
}

// longBlobs adds an image with blobs of 64 MiB that share their blocks.
func (g *gateway) longBlobs(n int) {
	var leaves []cid.Cid
	for i := range 64 {
		data := make([]byte, leafSize)
		data[0] = byte(i + 1)
		leaves = append(leaves, g.raw(data))
	}
	sizes := make([]uint64, len(leaves))
	for i := range sizes {
		sizes[i] = leafSize
	}
	blob := g.file(sizes, leaves...)
	var entries []entry
	for i := range n {
		name := sha256.Sum256(fmt.Append(nil, "layer", i))
		entries = append(entries, entry{hex.EncodeToString(name[:]), blob})
	}
	root := g.layout([]byte(`{"schemaVersion":2,"manifests":[]}`), entries...)
	for _, e := range entries {
		g.layers = append(g.layers, "/v2/"+root.String()+"/x/blobs/sha256:"+e.name)
	}
}

// image adds a layout whose index.json is as large as may be.
func (g *gateway) image(head string, part func(int) string, tail string) string {
	var b strings.Builder
	b.WriteString(head)
	for k := 0; b.Len() < mostJSON-32; k++ {
		b.WriteString(part(k))
	}
	b.WriteString(tail)
	return "/v2/" + g.layout([]byte(b.String())).String() + "/x/manifests/latest"
}

func (g *gateway) put(codec uint64, data []byte) cid.Cid {
	c, err := cid.V1Builder{Codec: codec, MhType: multihash.SHA2_256}.Sum(data)
	if err != nil {
		panic(err) // the hash is known
	}
	g.blocks[string(c.Hash())] = data
	return c
}

func (g *gateway) raw(data []byte) cid.Cid { return g.put(cid.Raw, data) }

type entry struct {
	name string
	c    cid.Cid
}

func (g *gateway) dir(entries ...entry) cid.Cid {
	n := merkledag.NodeWithData(unixfs.FolderPBData())
	for _, e := range entries {
		g.link(n, e.name, e.c, 1)
	}
	return g.put(cid.DagProtobuf, n.RawData())
}

func (g *gateway) file(sizes []uint64, parts ...cid.Cid) cid.Cid {
	fs := unixfs.NewFSNode(unixfs.TFile)
	for _, s := range sizes {
		fs.AddBlockSize(s)
	}
	data, err := fs.GetBytes()
	if err != nil {
		panic(err) // sizes always marshal
	}
	n := merkledag.NodeWithData(data)
	for i, c := range parts {
		g.link(n, "", c, sizes[i])
	}
	return g.put(cid.DagProtobuf, n.RawData())
}

func (g *gateway) link(n *merkledag.ProtoNode, name string, c cid.Cid, size uint64) {
	if err := n.AddRawLink(name, &ipld.Link{Name: name, Cid: c, Size: size}); err != nil {
		panic(err) // the CID is one
	}
}

func (g *gateway) layout(index []byte, blobs ...entry) cid.Cid {
	var sizes []uint64
	var parts []cid.Cid
	for rest := index; len(rest) > 0; {
		n := min(leafSize, len(rest))
		sizes, parts, rest = append(sizes, uint64(n)), append(parts, g.raw(rest[:n])), rest[n:]
	}
	return g.dir(entry{"oci-layout", g.raw([]byte(`{"imageLayoutVersion":"1.0.0"}`))}, entry{"index.json", g.file(sizes, parts...)},
		entry{"blobs", g.dir(entry{"sha256", g.dir(blobs...)})})
}

// ServeHTTP gives single blocks (trustless gateway spec).
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	spelled, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/ipfs/"), "/")
	c, err := cid.Decode(spelled)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	data, ok := g.blocks[string(c.Hash())]
	switch mh, err := multihash.Decode(c.Hash()); {
	case err == nil && mh.Code == multihash.IDENTITY:
		data = mh.Digest
	case r.URL.Query().Get("format") == "car" || strings.Contains(r.Header.Get("Accept"), "car"):
		w.WriteHeader(http.StatusNotImplemented)
		return
	case g.stalls[string(c.Hash())]:
		ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
		defer cancel()
		<-ctx.Done()
		w.WriteHeader(http.StatusNotFound)
		return
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/vnd.ipld.raw")
	_, _ = w.Write(data) // the server that is attacked may end
}
