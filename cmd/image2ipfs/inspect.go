package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/registry/local"
)

func newInspect() *cobra.Command {
	opts := &storeOptions{}
	var asJSON, shared bool
	cmd := &cobra.Command{
		Use:   "inspect NAME",
		Short: "Show what is under a name",
		Example: `  image2ipfs inspect app:1
  image2ipfs inspect --shared app:2
  image2ipfs inspect --json ciqddxseacsddleyizojmahrh2uaq7ujnplse6r6mylurgu4bfodrmi`,
		Args:              usage(cobra.ExactArgs(1)),
		ValidArgsFunction: completeNames(opts),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			all, err := opts.openExisting(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, all.Close()) }()
			name, err := all.Find(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			l, err := all.Layout(cmd.Context(), name)
			if err != nil {
				return err
			}
			if err := isThere(cmd.Context(), l, name); err != nil {
				return err
			}
			v, err := inspect(cmd.Context(), l)
			if err != nil {
				return err
			}
			if shared {
				if v.Sharing, err = all.Sharing(cmd.Context(), l.Files(), v.layers()); err != nil {
					return err
				}
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(v)
			}
			return v.print(cmd.OutOrStdout())
		},
	}
	opts.storeFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	cmd.Flags().BoolVar(&shared, "shared", false, "tell what each layer shares with the other published images")
	return cmd
}

// inspected is the JSON form of a layout.
type inspected struct {
	Root   ref.Spellings    `json:"root"`
	Size   int64            `json:"size"` // bytes of all blobs, each once
	Images []inspectedImage `json:"images"`

	Sharing map[digest.Digest]*local.Sharing `json:"sharing,omitempty"` // of layers, when asked for
}

type inspectedImage struct {
	Names     []string            `json:"names"`
	Digest    digest.Digest       `json:"digest"`
	MediaType string              `json:"mediaType"`
	Manifests []inspectedManifest `json:"manifests"`
	Absent    []string            `json:"absent,omitempty"`
}

type inspectedManifest struct {
	Digest   digest.Digest        `json:"digest"`
	Platform string               `json:"platform,omitempty"`
	Config   ocispec.Descriptor   `json:"config"`
	Layers   []ocispec.Descriptor `json:"layers"`
}

func inspect(ctx context.Context, l *layout.Layout) (*inspected, error) {
	v := &inspected{Root: ref.Spell(l.Files().Root)}
	images, err := l.Images(ctx)
	if err != nil {
		return nil, err
	}
	seen := map[digest.Digest]bool{}
	for _, image := range images {
		one, err := l.Reachable(ctx, image.Descriptor)
		if err != nil {
			return nil, err
		}
		i := inspectedImage{Digest: image.Descriptor.Digest, MediaType: image.Descriptor.MediaType, Absent: one.Absent, Names: []string{}}
		for _, name := range image.Names {
			i.Names = append(i.Names, name.String())
		}
		for _, b := range one.Blobs {
			if !seen[b.Digest] {
				seen[b.Digest] = true
				v.Size += b.Size
			}
			if !oci.IsManifest(b.MediaType) {
				continue
			}
			m, err := inspectManifest(ctx, l.Files(), b)
			if err != nil {
				return nil, err
			}
			i.Manifests = append(i.Manifests, m)
		}
		v.Images = append(v.Images, i)
	}
	return v, nil
}

func inspectManifest(ctx context.Context, l *ipfs.Layout, desc ocispec.Descriptor) (inspectedManifest, error) {
	data, err := l.Manifest(ctx, desc)
	if err != nil {
		return inspectedManifest{}, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return inspectedManifest{}, fmt.Errorf("%w: manifest %s: %v", oci.ErrCorrupt, desc.Digest, err)
	}
	out := inspectedManifest{Digest: desc.Digest, Config: m.Config, Layers: m.Layers}
	if desc.Platform != nil {
		out.Platform = platforms.Format(*desc.Platform)
	}
	return out, nil
}

// layers are those of all images.
func (v *inspected) layers() []digest.Digest {
	var all []digest.Digest
	for _, i := range v.Images {
		for _, m := range i.Manifests {
			for _, l := range m.Layers {
				all = append(all, l.Digest)
			}
		}
	}
	return all
}

func (v *inspected) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "root\t%s\n\t%s\nsize\t%s\n", v.Root.Ciq, v.Root.V1, bytesText(v.Size))
	for _, i := range v.Images {
		names := strings.Join(i.Names, ", ")
		if names == "" {
			names = "(no name)"
		}
		fmt.Fprintf(w, "image\t%s\n  digest\t%s\n  type\t%s\n", names, i.Digest, i.MediaType)
		for _, m := range i.Manifests {
			fmt.Fprintf(w, "  manifest\t%s\t%s\n", m.Digest, m.Platform)
			fmt.Fprintf(w, "    config\t%s\t%s\n", m.Config.Digest, bytesText(m.Config.Size))
			for _, layer := range m.Layers {
				fmt.Fprintf(w, "    layer\t%s\t%s\t%s", layer.Digest, bytesText(layer.Size), layer.MediaType)
				if s := v.Sharing[layer.Digest]; s != nil {
					fmt.Fprintf(w, "\tshared %s, %d of %d blocks", bytesText(s.SharedBytes), s.SharedBlocks, s.Blocks)
				}
				fmt.Fprintln(w)
			}
		}
		for _, absent := range i.Absent {
			fmt.Fprintf(w, "  absent\t%s\n", absent)
		}
	}
	return w.Flush()
}
