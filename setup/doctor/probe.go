package doctor

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

// probeName is the image's name below its root.
const probeName = "image2ipfs-doctor"

// Probe is a published image of three kilobytes whose bytes, and so whose CID,
// are always the same on machines of one architecture.
type Probe struct {
	Root   cid.Cid
	Digest digest.Digest // of its manifest

	store  ipfs.Store
	layer  digest.Digest
	before bool    // it was published before
	nonce  cid.Cid // a directory that no other store has
	// elsewhere is where the server sends for blobs; empty when it gives them itself.
	elsewhere string
}

// Name is what engines pull it by.
func (p *Probe) Name() string { return ref.Ciq(p.Root) + "/" + probeName + ":" + oci.DefaultTag }

// Publish publishes the probe on a store. [Probe.Remove] must be called when it
// is of no more use.
func Publish(ctx context.Context, store ipfs.Store) (*Probe, error) {
	roots, err := store.Roots(ctx)
	if err != nil {
		return nil, err
	}
	probe, err := publishImage(ctx, store, roots)
	if err != nil {
		return nil, err
	}
	if probe.nonce, err = publishNonce(ctx, store); err != nil {
		return nil, errors.Join(err, probe.Remove(ctx))
	}
	return probe, nil
}

func publishImage(ctx context.Context, store ipfs.Store, roots []ipfs.Root) (probe *Probe, err error) {
	tx, err := store.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tx.Abort()) }()
	files, manifest, size, err := probeFiles()
	if err != nil {
		return nil, err
	}
	root, err := putTree(ctx, tx, files)
	if err != nil {
		return nil, err
	}
	layer, err := probeLayer()
	if err != nil {
		return nil, err
	}
	probe = &Probe{Root: root.CID, Digest: manifest, store: store, layer: digest.FromBytes(layer)}
	for _, r := range roots {
		probe.before = probe.before || r.CID.Equals(root.CID)
	}
	if probe.before {
		return probe, nil
	}
	_, err = tx.Commit(ctx, ipfs.Root{CID: root.CID, Names: []string{probeName + ":" + oci.DefaultTag}, Published: time.Now(), Size: size})
	return probe, err
}

// publishNonce publishes a few random bytes: the image's blocks may also be in
// the store of somebody else who has called doctor.
func publishNonce(ctx context.Context, store ipfs.Store) (c cid.Cid, err error) {
	tx, err := store.Begin(ctx)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, tx.Abort()) }()
	file, err := ipfs.AddFile(ctx, tx, strings.NewReader(rand.Text()))
	if err != nil {
		return c, err
	}
	dir, err := ipfs.AddDirectory(ctx, tx, map[string]ipfs.Link{probeName: file})
	if err != nil {
		return c, err
	}
	_, err = tx.Commit(ctx, ipfs.Root{CID: dir.CID, Published: time.Now()})
	return dir.CID, err
}

// Remove unpublishes the probe unless it was published before.
func (p *Probe) Remove(ctx context.Context) error {
	ctx, cancel := removal(ctx)
	defer cancel()
	var err error
	if p.nonce.Defined() {
		err = p.store.Remove(ctx, p.nonce)
	}
	if !p.before {
		err = errors.Join(err, p.store.Remove(ctx, p.Root))
	}
	return err
}

// probeFiles are the files of the probe's layout.
func probeFiles() (blobs map[string][]byte, manifest digest.Digest, size int64, err error) {
	layer, err := probeLayer()
	if err != nil {
		return nil, "", 0, err
	}
	blobs = map[string][]byte{}
	add := func(mediaType string, data []byte) ocispec.Descriptor {
		d := digest.FromBytes(data)
		blobs[d.Encoded()] = data
		size += int64(len(data))
		return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
	}
	layerDesc := add(ocispec.MediaTypeImageLayer, layer)
	epoch := time.Unix(0, 0).UTC()
	config, err := json.Marshal(ocispec.Image{
		Created:  &epoch,
		Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{layerDesc.Digest}},
	})
	if err != nil {
		return nil, "", 0, err
	}
	text, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    add(ocispec.MediaTypeImageConfig, config),
		Layers:    []ocispec.Descriptor{layerDesc},
	})
	if err != nil {
		return nil, "", 0, err
	}
	desc := add(ocispec.MediaTypeImageManifest, text)
	index, err := json.Marshal(oci.NewIndex([]ocispec.Descriptor{oci.Named(desc, probeName+":"+oci.DefaultTag)}))
	blobs[ocispec.ImageIndexFile], blobs[ocispec.ImageLayoutFile] = index, oci.LayoutFile
	return blobs, desc.Digest, size, err
}

// probeLayer is an uncompressed layer, since compressors may change.
func probeLayer() ([]byte, error) {
	const text = "made by image2ipfs doctor, which removes it again\n"
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	header := &tar.Header{Typeflag: tar.TypeReg, Name: probeName, Mode: 0o644, Size: int64(len(text)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
	err := w.WriteHeader(header)
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	err = errors.Join(err, w.Close())
	return layer.Bytes(), err
}

// putTree puts the files on IPFS as an OCI layout.
func putTree(ctx context.Context, p ipfs.Putter, files map[string][]byte) (ipfs.Link, error) {
	top, blobs := map[string]ipfs.Link{}, map[string]ipfs.Link{}
	for name, data := range files {
		link, err := ipfs.AddFile(ctx, p, bytes.NewReader(data))
		if err != nil {
			return link, err
		}
		if name == ocispec.ImageIndexFile || name == ocispec.ImageLayoutFile {
			top[name] = link
		} else {
			blobs[name] = link
		}
	}
	algorithm, err := ipfs.AddDirectory(ctx, p, blobs)
	if err != nil {
		return algorithm, err
	}
	if top[ocispec.ImageBlobsDir], err = ipfs.AddDirectory(ctx, p, map[string]ipfs.Link{digest.SHA256.String(): algorithm}); err != nil {
		return algorithm, err
	}
	return ipfs.AddDirectory(ctx, p, top)
}
