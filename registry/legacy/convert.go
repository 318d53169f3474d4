package legacy

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// WriteArchive writes the tree's images as an archive that can be published as
// an OCI layout: an OCI layout in a tar when every manifest is right as it is,
// so that digests stay; what docker save writes when one is schema 1 or has to
// be corrected, which then gets an OCI manifest. Layers keep their bytes. Errors
// match [oci.ErrCorrupt] for blobs that are not what their names say.
func (t *Tree) WriteArchive(ctx context.Context, w io.Writer) error {
	c := &converter{ctx: ctx, t: t, tar: tar.NewWriter(w), written: map[string]bool{}}
	convert := c.layout
	for _, i := range t.Stored {
		if i.Corrected || i.Schema1() {
			convert = c.dockerArchive
		}
	}
	if err := convert(); err != nil {
		return err
	}
	return c.tar.Close()
}

type converter struct {
	ctx     context.Context
	t       *Tree
	tar     *tar.Writer
	written map[string]bool
}

// layout writes an OCI image layout (image-spec, "Image Layout").
func (c *converter) layout() error {
	index, err := json.Marshal(c.t.Index)
	if err != nil {
		return err
	}
	if err := c.bytes(ocispec.ImageLayoutFile, oci.LayoutFile); err != nil {
		return err
	}
	if err := c.bytes(ocispec.ImageIndexFile, index); err != nil {
		return err
	}
	for _, i := range c.t.Stored {
		if err := c.bytes(oci.BlobPath(i.Descriptor.Digest), i.stored); err != nil {
			return err
		}
		var m ocispec.Manifest
		if err := jsontext.Unmarshal(i.stored, &m); err != nil {
			return fmt.Errorf("%w: manifest of %s: %v", oci.ErrCorrupt, i.Name, err)
		}
		for _, desc := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
			if err := desc.Digest.Validate(); err != nil {
				return fmt.Errorf("%w: manifest of %s: digest %q: %v", oci.ErrCorrupt, i.Name, desc.Digest, err)
			}
			if err := c.blob(i.place, desc.Digest, oci.BlobPath(desc.Digest)); err != nil {
				return fmt.Errorf("%s: %w", i.Name, err)
			}
		}
	}
	return nil
}

// savedImage is an element of docker save's manifest.json (docker/docker,
// "image/spec/v1.2.md").
type savedImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func (c *converter) dockerArchive() error {
	var saved []savedImage
	for _, i := range c.t.Stored {
		config, layers, err := c.image(i)
		if err != nil {
			return fmt.Errorf("%s: %w", i.Name, err)
		}
		s := savedImage{Config: digest.FromBytes(config).Encoded() + ".json", RepoTags: []string{i.Name}, Layers: []string{}}
		if err := c.bytes(s.Config, config); err != nil {
			return err
		}
		for _, d := range layers {
			name := d.Encoded() + "/layer.tar"
			if err := c.blob(i.place, d, name); err != nil {
				return fmt.Errorf("%s: %w", i.Name, err)
			}
			s.Layers = append(s.Layers, name)
		}
		saved = append(saved, s)
	}
	list, err := json.Marshal(saved)
	if err != nil {
		return err
	}
	return c.bytes("manifest.json", list)
}

// image gives the config and the layers of an image, lowest first.
func (c *converter) image(i Image) ([]byte, []digest.Digest, error) {
	if i.Schema1() {
		return readSchema1(i.stored)
	}
	var m ocispec.Manifest
	if err := jsontext.Unmarshal(i.stored, &m); err != nil {
		return nil, nil, fmt.Errorf("%w: manifest: %v", oci.ErrCorrupt, err)
	}
	file, err := i.place.blob(c.ctx, m.Config.Digest)
	if err != nil {
		return nil, nil, fmt.Errorf("config: %w", err)
	}
	config, err := ipfs.ReadFile(c.ctx, c.t.g, file, oci.MaxManifestSize)
	if err != nil {
		return nil, nil, fmt.Errorf("config: %w", err)
	}
	if got := m.Config.Digest.Algorithm().FromBytes(config); got != m.Config.Digest {
		return nil, nil, fmt.Errorf("%w: config %s has the content of %s", oci.ErrCorrupt, m.Config.Digest, got)
	}
	var layers []digest.Digest
	for _, l := range m.Layers {
		if err := l.Digest.Validate(); err != nil {
			return nil, nil, fmt.Errorf("%w: layer digest %q: %v", oci.ErrCorrupt, l.Digest, err)
		}
		layers = append(layers, l.Digest)
	}
	return config, layers, nil
}

func (c *converter) bytes(name string, data []byte) error {
	if c.written[name] {
		return nil
	}
	c.written[name] = true
	if err := c.header(name, int64(len(data))); err != nil {
		return err
	}
	_, err := c.tar.Write(data)
	return err
}

// blob writes the file of a blob. What is to be inflated is checked later, by
// whoever compares diff_ids, all else here.
func (c *converter) blob(p place, d digest.Digest, name string) error {
	if c.written[name] {
		return nil
	}
	c.written[name] = true
	file, err := p.blob(c.ctx, d)
	if err != nil {
		return fmt.Errorf("blob %s: %w", d, err)
	}
	f, err := ipfs.OpenFile(c.ctx, c.t.g, file, blobAhead)
	if err != nil {
		return fmt.Errorf("blob %s: %w", d, err)
	}
	var content io.ReadCloser = f
	if _, inflate := c.t.inflated[d]; !inflate {
		content = oci.VerifyReader(f, ocispec.Descriptor{Digest: d, Size: f.Size()})
	}
	if err := c.header(name, f.Size()); err != nil {
		return errors.Join(err, f.Close())
	}
	_, err = io.Copy(c.tar, content)
	return errors.Join(err, f.Close())
}

const blobAhead = 16 // blocks

func (c *converter) header(name string, size int64) error {
	return c.tar.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o644, Typeflag: tar.TypeReg})
}
