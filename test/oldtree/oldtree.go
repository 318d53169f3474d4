// Package oldtree makes the trees that image2ipfs 0.0.1 to 0.1.0 made, for
// tests: their files, and their blocks as `ipfs add -r` cut them at the time.
package oldtree

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	chunk "github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Versions are those whose trees differ.
var Versions = []string{"0.0.1", "0.0.2", "0.0.3", "0.0.4", "0.1.0"}

// Image is what a tree is made of.
type Image struct {
	Config []byte   // with rootfs.diff_ids
	Layers [][]byte // tars, lowest first
}

// NewImage makes an image whose uppermost layer has a file /etc/old with text
// and whose others have one file each, of size bytes.
func NewImage(t testing.TB, text string, sizes ...int) Image {
	t.Helper()
	var i Image
	for n, size := range sizes {
		i.Layers = append(i.Layers, Tar(t, fmt.Sprintf("data/%d", n), noise(size)))
	}
	i.Layers = append(i.Layers, Tar(t, "etc/old", []byte(text)))
	var diffIDs []digest.Digest
	var history []any
	for n, l := range i.Layers {
		diffIDs = append(diffIDs, digest.FromBytes(l))
		history = append(history, map[string]any{"created": "2016-05-05T20:13:12Z", "created_by": fmt.Sprintf("/bin/sh -c #(nop) ADD %d", n)})
	}
	history = append(history, map[string]any{"created": "2016-05-05T20:13:13Z", "created_by": "/bin/sh -c #(nop) CMD", "empty_layer": true})
	i.Config = marshal(t, map[string]any{
		"architecture": "amd64", "os": "linux", "docker_version": "1.10.3",
		"config":  map[string]any{"Cmd": []string{"/bin/cat", "/etc/old"}, "Env": []string{"OLD=1"}},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": diffIDs},
		"history": history,
	})
	return i
}

// Tar is a tar with one file.
func Tar(t testing.TB, name string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o644, Typeflag: tar.TypeReg})
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// noise does not compress.
func noise(n int) []byte {
	data, x := make([]byte, n), uint32(n)
	for i := range data {
		x = x*1664525 + 1013904223
		data[i] = byte(x >> 24)
	}
	return data
}

// Gzip compresses as the old versions did, into one member.
func Gzip(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Files are those of the tree that a version made of the image, by path.
func Files(t testing.TB, version, name string, i Image) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	blob := func(d digest.Digest, data []byte) digest.Digest {
		files[path.Join(name, "blobs", d.String())] = data
		return d
	}
	manifest := func(file string, v any) { files[path.Join(name, "manifests", file)] = marshal(t, v) }
	var layers []any
	var sums []digest.Digest
	for _, l := range i.Layers {
		packed := Gzip(t, l)
		d := digest.FromBytes(packed)
		if version == "0.1.0" {
			d = digest.FromBytes(l)
		}
		sums = append(sums, blob(d, packed))
		layers = append(layers, map[string]any{
			"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": len(packed), "digest": d,
		})
	}
	v2 := map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
		"config": map[string]any{
			"mediaType": "application/vnd.docker.container.image.v1+json",
			"size":      len(i.Config), "digest": digest.FromBytes(i.Config),
		},
		"layers": layers,
	}
	v1 := schema1(t, name, i, sums)
	switch version {
	case "0.0.1":
		manifest("latest", v2)
	case "0.0.2", "0.0.3":
		manifest("latest", v1)
		return files
	case "0.0.4":
		manifest("latest-v1", v1)
		manifest("latest-v2", v2)
	case "0.1.0":
		manifest("latest-v2", v2)
	default:
		t.Fatalf("version %s", version)
	}
	blob(digest.FromBytes(i.Config), i.Config)
	return files
}

// schema1 makes the manifest of the layers' <id>/json in docker save, the
// uppermost of which has the image's own config.
func schema1(t testing.TB, name string, i Image, sums []digest.Digest) any {
	var config map[string]any
	if err := json.Unmarshal(i.Config, &config); err != nil {
		t.Fatal(err)
	}
	var layers, history []any
	for n, sum := range slices.Backward(sums) {
		v1 := map[string]any{
			"id": digest.FromString(fmt.Sprint(n)).Encoded(), "created": "2016-05-05T20:13:12Z",
			"container_config": map[string]any{"Cmd": []string{"/bin/sh", "-c", fmt.Sprintf("#(nop) ADD %d", n)}},
		}
		if n > 0 {
			v1["parent"] = digest.FromString(fmt.Sprint(n - 1)).Encoded()
		}
		if n == len(sums)-1 {
			for _, key := range []string{"config", "architecture", "os", "docker_version"} {
				v1[key] = config[key]
			}
		}
		layers = append(layers, map[string]any{"blobSum": sum})
		history = append(history, map[string]any{"v1Compatibility": string(marshal(t, v1))})
	}
	return map[string]any{
		"schemaVersion": 1, "name": name, "tag": "latest", "architecture": "amd64",
		"fsLayers": layers, "history": history,
	}
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Add puts files on IPFS as `ipfs add -r` did: CIDv0, dag-pb leaves of 256 KiB,
// 174 links. The root's blocks are found by CIDv1 too, as in every store that
// goes by multihash.
func Add(t testing.TB, p ipfs.Putter, files map[string][]byte) cid.Cid {
	t.Helper()
	dag := &writer{t: t, p: p}
	top := &dir{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		top.add(strings.Split(name, "/"), dag.file(files[name]))
	}
	c := dag.dir(top).Cid()
	return cid.NewCidV1(cid.DagProtobuf, c.Hash())
}

// dir is a directory in the making.
type dir struct {
	names []string
	nodes []any // *dir or ipld.Node
}

func (d *dir) add(at []string, n ipld.Node) {
	i := slices.Index(d.names, at[0])
	if i < 0 {
		i = len(d.names)
		d.names, d.nodes = append(d.names, at[0]), append(d.nodes, nil)
	}
	if len(at) == 1 {
		d.nodes[i] = n
		return
	}
	if d.nodes[i] == nil {
		d.nodes[i] = &dir{}
	}
	d.nodes[i].(*dir).add(at[1:], n)
}

// writer is the write half of a DAGService over a Putter.
type writer struct {
	ipld.DAGService
	t testing.TB
	p ipfs.Putter
}

func (w *writer) Add(ctx context.Context, n ipld.Node) error {
	for _, c := range []cid.Cid{n.Cid(), cid.NewCidV1(n.Cid().Type(), n.Cid().Hash())} {
		if err := w.p.Put(ctx, c, n.RawData()); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) file(data []byte) ipld.Node {
	w.t.Helper()
	params := helpers.DagBuilderParams{Maxlinks: 174, CidBuilder: merkledag.V0CidPrefix(), Dagserv: w}
	b, err := params.New(chunk.NewSizeSplitter(bytes.NewReader(data), 256<<10))
	if err != nil {
		w.t.Fatal(err)
	}
	n, err := balanced.Layout(b)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *writer) dir(d *dir) ipld.Node {
	w.t.Helper()
	n := merkledag.NodeWithData(unixfs.FolderPBData())
	for i, name := range d.names {
		child, ok := d.nodes[i].(ipld.Node)
		if !ok {
			child = w.dir(d.nodes[i].(*dir))
		}
		if err := n.AddNodeLink(name, child); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := w.Add(context.Background(), n); err != nil {
		w.t.Fatal(err)
	}
	return n
}
