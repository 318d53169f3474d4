package layout

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry"
)

// Images implements [registry.Lister]. Entries of index.json are images, less
//
//   - those that another listed index reaches, and those with a subject, unless
//     they have a name that no other entry has;
//   - signatures and attestations, as `cosign save` marks them or as tags say,
//   - and what is no manifest or index, BuildKit's cache among it.
//
// Where nothing is left, whatever is a manifest or index counts.
// Errors match [ipfs.ErrUnavailable] while it cannot be told.
func (n *Names) Images(ctx context.Context) ([]registry.Image, error) {
	found, err := n.images(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]registry.Image, len(found))
	for i, e := range found {
		all[i] = e.Image
	}
	return all, nil
}

func (n *Names) images(ctx context.Context) ([]*entry, error) {
	return n.sorted.get(ctx, func() ([]*entry, bool, error) {
		s := &sorter{n: n, ctx: ctx, final: true, reached: map[digest.Digest]bool{}, apart: map[digest.Digest]bool{}, foreign: map[digest.Digest]bool{}}
		found, err := s.images()
		return found, s.final, err
	})
}

// sorter tells images from what belongs to them. What cannot be read leads
// nowhere.
type sorter struct {
	n       *Names
	ctx     context.Context
	final   bool // false when something may be readable later
	budget  int  // bytes that were read
	reads   int
	reached map[digest.Digest]bool // by a listed index that is another
	apart   map[digest.Digest]bool // entries that belong to images, by what is in them
	foreign map[digest.Digest]bool // entries that are neither manifest nor index
}

func (s *sorter) images() ([]*entry, error) {
	if all := s.n.entries; len(all) == 1 && oci.IsAnyManifest(all[0].Descriptor.MediaType) {
		return all, nil
	}
	for _, e := range s.n.entries {
		if err := s.look(e); err != nil {
			return nil, err
		}
	}
	var images, rest []*entry
	for _, e := range s.n.entries {
		switch d := e.Descriptor.Digest; {
		case s.foreign[d]:
		case e.kind == kindSignatures || e.kind == kindAttests || isNamedReferrer(e) || s.apart[d]:
			rest = append(rest, e)
		case s.reached[d] && !s.n.hasOwnName(e):
		default:
			images = append(images, e)
		}
	}
	if len(images) == 0 {
		images = rest
	}
	return images, nil
}

// look reads an entry and, of an index, what it leads to.
func (s *sorter) look(e *entry) error {
	desc := e.Descriptor
	if desc.MediaType != "" && !oci.IsAnyManifest(desc.MediaType) || desc.Digest.Validate() != nil {
		s.foreign[desc.Digest] = true
		return nil
	}
	data, err := s.read(desc.Digest)
	if err != nil || data == nil {
		return err
	}
	release, err := ipfs.HoldDecoding(s.ctx, data)
	if err != nil {
		return err
	}
	var m struct {
		MediaType string               `json:"mediaType"`
		Manifests []ocispec.Descriptor `json:"manifests"`
		Config    struct {
			MediaType string `json:"mediaType"`
		} `json:"config"`
		Subject *ocispec.Descriptor `json:"subject"`
	}
	isNone := json.Unmarshal(data, &m) != nil
	release()
	if isNone {
		return nil
	}
	switch {
	case desc.MediaType == "" && !oci.IsAnyManifest(oci.SniffMediaType(data)):
		s.foreign[desc.Digest] = true
		return nil
	case m.Subject != nil && !s.n.hasOwnName(e):
		s.apart[desc.Digest] = true
	case m.Config.MediaType == oci.MediaTypeBuildCache || oci.ListsNoManifest(m.Manifests):
		s.apart[desc.Digest] = true
	}
	return s.follow(desc.Digest, data, 0)
}

// follow notes what an index leads to, at any depth that a pull would follow.
func (s *sorter) follow(top digest.Digest, data []byte, depth int) error {
	release, err := ipfs.HoldDecoding(s.ctx, data)
	if err != nil {
		return err
	}
	index, err := oci.ParseIndex(data)
	release()
	if err != nil || depth > oci.MaxDepth {
		return nil
	}
	for _, child := range index.Manifests {
		if child.Digest == top || s.reached[child.Digest] {
			continue
		}
		s.reached[child.Digest] = true
		if !oci.IsIndex(child.MediaType) || child.Digest.Validate() != nil {
			continue
		}
		below, err := s.read(child.Digest)
		if err != nil {
			return err
		}
		if err := s.follow(top, below, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// read reads a manifest as far as the budget goes; nil for what cannot be read,
// or is too much.
func (s *sorter) read(d digest.Digest) ([]byte, error) {
	if s.reads++; s.reads > oci.MaxManifests || s.budget > oci.MaxRead {
		return nil, nil
	}
	data, err := s.n.contents.Small(s.ctx, d)
	if err != nil && isPassing(s.ctx, err) {
		return nil, fmt.Errorf("which images are in this layout cannot be told: manifest %s: %w", d, err)
	}
	if err != nil {
		s.final = s.final && isSettled(err)
		return nil, nil
	}
	s.budget += len(data)
	return data, nil
}

// hasOwnName tells whether an entry has a name that no other has.
func (n *Names) hasOwnName(e *entry) bool {
	return slices.ContainsFunc(e.Names, func(name oci.ImageName) bool {
		name.Repository = plain(name.Repository)
		return len(n.byName[name]) == 1
	})
}

// isNamedReferrer tells whether all names of an entry are tags of what refers to
// an image.
func isNamedReferrer(e *entry) bool {
	return len(e.Names) > 0 && !slices.ContainsFunc(e.Names, func(name oci.ImageName) bool { return !oci.IsReferrerTag(name.Tag) })
}
