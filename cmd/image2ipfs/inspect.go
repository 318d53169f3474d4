package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

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
		Args:              usage(exactly(1)),
		ValidArgsFunction: completeNames(opts),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			all, err := opts.openExisting(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, all.Close()) }()
			name, err := opts.find(cmd, all, args[0])
			if err != nil {
				return err
			}
			l, err := all.Layout(cmd.Context(), name)
			if err != nil {
				return err
			}
			if err := l.Check(cmd.Context(), name); err != nil {
				return err
			}
			found, err := l.Inspect(cmd.Context())
			if err != nil {
				return err
			}
			v := inspectedAs(l.Files().Root, found)
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
	Names     []string             `json:"names"`
	Digest    digest.Digest        `json:"digest"`
	MediaType string               `json:"mediaType"`
	Artifact  string               `json:"artifact,omitempty"`
	Manifests []inspectedManifest  `json:"manifests"`
	Others    []ocispec.Descriptor `json:"others,omitempty"`
	Absent    []string             `json:"absent,omitempty"`
}

type inspectedManifest struct {
	Digest   digest.Digest        `json:"digest"`
	Platform string               `json:"platform,omitempty"`
	Config   ocispec.Descriptor   `json:"config"`
	Layers   []ocispec.Descriptor `json:"layers"`
}

// inspectedAs gives what a layout holds the form in which it is printed.
func inspectedAs(root cid.Cid, l *layout.Inspection) *inspected {
	v := &inspected{Root: ref.Spell(root), Size: l.Size, Images: []inspectedImage{}}
	for _, image := range l.Images {
		i := inspectedImage{Digest: image.Descriptor.Digest, MediaType: image.Descriptor.MediaType, Absent: image.Absent, Others: image.Others, Names: []string{}, Manifests: []inspectedManifest{}}
		if image.Artifact != nil {
			i.Artifact = image.Artifact.Is
		}
		for _, name := range image.Names {
			i.Names = append(i.Names, name.String())
		}
		for _, m := range image.Manifests {
			m.Layers = append([]ocispec.Descriptor{}, m.Layers...)
			i.Manifests = append(i.Manifests, inspectedManifest(m))
		}
		v.Images = append(v.Images, i)
	}
	return v
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
	fmt.Fprintf(w, "root\t%s\n\t%s\nsize\t%s\n", v.Root.Ciq, v.Root.V1, oci.BytesText(v.Size))
	for _, i := range v.Images {
		names := oci.Quoted(strings.Join(i.Names, ", "))
		if names == "" {
			names = "(no name)"
		}
		fmt.Fprintf(w, "image\t%s\n  digest\t%s\n  type\t%s\n", names, i.Digest, oci.Quoted(i.MediaType))
		if i.Artifact != "" {
			fmt.Fprintf(w, "  no image\tbut %s\n", i.Artifact)
		}
		for _, m := range i.Manifests {
			fmt.Fprintf(w, "  manifest\t%s\t%s\n", m.Digest, oci.Quoted(m.Platform))
			fmt.Fprintf(w, "    config\t%s\t%s\n", m.Config.Digest, oci.BytesText(m.Config.Size))
			for _, layer := range m.Layers {
				fmt.Fprintf(w, "    layer\t%s\t%s\t%s", layer.Digest, oci.BytesText(layer.Size), oci.Quoted(layer.MediaType))
				if s := v.Sharing[layer.Digest]; s != nil {
					fmt.Fprintf(w, "\tshared %s, %d of %d blocks", oci.BytesText(s.SharedBytes), s.SharedBlocks, s.Blocks)
				}
				fmt.Fprintln(w)
			}
		}
		for _, o := range i.Others {
			fmt.Fprintf(w, "  other\t%s\t%s\t%s\n", o.Digest, oci.BytesText(o.Size), oci.Quoted(o.MediaType))
		}
		for _, absent := range i.Absent {
			fmt.Fprintf(w, "  absent\t%s\n", oci.Quoted(absent))
		}
	}
	return w.Flush()
}
