package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/kubo"
	"github.com/image2ipfs/image2ipfs/publish"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/local"
)

// published is the JSON form of a result.
type published struct {
	Root      ref.Spellings    `json:"root"`
	Format    string           `json:"format"`
	Store     string           `json:"store,omitempty"`
	Directory string           `json:"directory,omitempty"`
	Size      int64            `json:"size"`
	NewBytes  int64            `json:"newBytes"`
	NewBlocks int              `json:"newBlocks"`
	Healed    int              `json:"healedBlocks,omitempty"`
	Images    []publishedImage `json:"images"`
	Layers    []publish.Blob   `json:"layers"`
	Absent    []string         `json:"absent,omitempty"`
	Unindexed []string         `json:"unindexed,omitempty"`
	Dropped   []string         `json:"dropped,omitempty"`
	Misnamed  []string         `json:"misnamed,omitempty"`
	Same      []sameName       `json:"same,omitempty"`
	Set       []string         `json:"localNames,omitempty"`
	Left      []string         `json:"leftNames,omitempty"`
}

// sameName is a name that several images have.
type sameName struct {
	Name   string      `json:"name"`
	Images []sameImage `json:"images"` // the first is what the name means
}

type sameImage struct {
	Digest    digest.Digest `json:"digest"`
	Platforms []string      `json:"platforms"`
}

func newSame(r *publish.Result) (all []sameName) {
	for _, same := range r.Same {
		one := sameName{Name: same.Name}
		for _, image := range same.Images {
			d := image.Descriptor.Digest
			one.Images = append(one.Images, sameImage{Digest: d, Platforms: append([]string{}, r.PlatformsOf(d)...)})
		}
		all = append(all, one)
	}
	return all
}

type publishedImage struct {
	PullName  string        `json:"pullName"`
	Name      string        `json:"name,omitempty"`
	Digest    digest.Digest `json:"digest"`
	MediaType string        `json:"mediaType"`
	Artifact  string        `json:"artifact,omitempty"`
	Platforms []string      `json:"platforms"`
	Size      int64         `json:"size"`
}

func newPublished(r *publish.Result, host string, store ipfs.Store) published {
	p := published{
		Root: ref.Spell(r.Root), Format: r.Format, Directory: r.Directory,
		Size: r.Size, NewBytes: r.Stats.NewBytes, NewBlocks: r.Stats.NewBlocks, Healed: r.Stats.HealedBlocks,
		Images: []publishedImage{}, Layers: append([]publish.Blob{}, r.Layers...), Absent: r.Absent, Unindexed: r.Unindexed, Dropped: r.Dropped, Misnamed: r.Misnamed, Same: newSame(r),
	}
	if store != nil {
		p.Store = store.String()
	}
	for i, image := range r.Images {
		what := ""
		if image.Artifact != nil {
			what = image.Artifact.Is
		}
		p.Images = append(p.Images, publishedImage{
			PullName: r.PullName(i, host), Name: image.Name,
			Digest: image.Manifest.Digest, MediaType: image.Manifest.MediaType, Artifact: what,
			Platforms: append([]string{}, image.Platforms...), Size: image.Size,
		})
	}
	return p
}

// checkTag refuses a --tag that can be no local name, or is for more than one archive.
func (o *publishOptions) checkTag(archives int) error {
	if o.tag == "" {
		return nil
	}
	_, _, err := local.ParseName(o.tag)
	switch {
	case o.noAdd:
		err = errors.New("--tag names what is published, and with -n nothing is")
	case archives > 1:
		err = fmt.Errorf("--tag %s is for one image, and there are %d archives: publish them one by one", o.tag, archives)
	case err != nil:
		err = fmt.Errorf("--tag: %w", err)
	}
	return err
}

// openNames finds where local names of what is published on a store are kept: there,
// or for what goes to Kubo in the embedded store. That is made for --tag alone: without
// it nobody has asked for names that no server answers to.
func (o *publishOptions) openNames(store ipfs.Store) (closeAll func(), err error) {
	o.names = store
	k, ok := store.(*kubo.Store)
	if !ok {
		return func() {}, nil
	}
	open := existingStore
	if o.tag != "" {
		open = openStore
	}
	own, err := open()
	if errors.Is(err, ipfs.ErrNotFound) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	o.names = k.Recorder(own)
	return func() { _ = own.Close() }, nil // what is recorded is flushed already
}

// setNames gives what was published its local names.
func (o *publishOptions) setNames(ctx context.Context, r *publish.Result) (local.Named, error) {
	var images []local.Image
	for _, i := range r.Images {
		images = append(images, local.Image{Name: i.Name, Descriptor: i.Manifest})
	}
	done, err := local.Publish(ctx, o.names, r.Root, images)
	if err != nil {
		return done, fmt.Errorf("%s is published, and not all local names of its images are set, which publishing it again does: %w", ref.Ciq(r.Root), err)
	}
	if o.tag == "" {
		return done, nil
	}
	if n := local.CountImages(images); n != 1 {
		return done, usageError{fmt.Errorf("%s is published, and --tag %s is for one image where there are %d: name one with image2ipfs tag %s %s@DIGEST", ref.Ciq(r.Root), o.tag, n, o.tag, r.PullName(0, ""))}
	}
	is, _, err := local.Stores{o.names}.Tag(ctx, o.tag, r.PullName(0, ""))
	if err == nil {
		done.Set = append(done.Set, is.Name)
	}
	return done, err
}
