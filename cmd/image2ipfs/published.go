package main

import (
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/publish"
	"github.com/image2ipfs/image2ipfs/ref"
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
		Images: []publishedImage{}, Layers: append([]publish.Blob{}, r.Layers...), Absent: r.Absent, Unindexed: r.Unindexed, Dropped: r.Dropped, Misnamed: r.Misnamed,
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
