package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/layer"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/publish"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/local"
	"github.com/image2ipfs/image2ipfs/setup/doctor"
)

// report prints a result: names on standard output, the rest for humans.
func (o *publishOptions) report(cmd *cobra.Command, r done, store ipfs.Store) error {
	host := ref.CleanRegistry(o.registry)
	if r.packed && !o.recompress && anyPacked(r.Result) {
		o.say(cmd, "layers keep the bytes to which they were compressed as wholes, so updates of this image store most of them anew; with --recompress they get small, and digests change\n")
	}
	o.tellLayers(cmd, r.Result)
	o.tellNames(cmd, r.Result)
	if o.json {
		p := newPublished(r.Result, host, store)
		p.Set, p.Left = r.named.Set, r.named.Left
		return json.NewEncoder(cmd.OutOrStdout()).Encode(p)
	}
	if r.Directory != "" {
		o.say(cmd, "CID             %s (not on IPFS: written to a directory)\n", r.Root)
		fmt.Fprintln(exact(cmd), r.Directory)
		return nil
	}
	names := pullNames(r.Result, host)
	o.say(cmd, "CID             %s\n", r.Root)
	where, elsewhere := "image2ipfs serve answers there", false
	if host == "" {
		where = "through a mirror: image2ipfs setup"
	} else {
		if elsewhere = o.tellsHumans() && doctor.HasOther(cmd.Context(), ref.RegistryURL(o.registry), r.Root); elsewhere {
			where = "not from what answers there now, which has another store"
		}
		o.say(cmd, "browse          %s/ipfs/%s/index.json\n", ref.RegistryURL(o.registry), r.Root)
	}
	o.say(cmd, "dockerized hash %s\n", ref.Ciq(r.Root))
	o.say(cmd, "stored          %s in %s%s\n", oci.BytesText(r.Size), store, newBytesText(r.Stats))
	if n := r.Stats.HealedBlocks; n > 0 {
		o.say(cmd, "healed          %d of its blocks, which were damaged there\n", n)
	}
	if a := r.Images[0].Artifact; a == nil {
		o.say(cmd, "pull with       docker pull %s    (%s)\n", names[0], where)
	} else if reader := a.ReadBy(names[0]); reader != "" {
		o.say(cmd, "no image        but %s: %s    (%s)\n", a.Is, reader, where)
	} else {
		o.say(cmd, "no image        but %s    (%s)\n", a.Is, where)
	}
	if elsewhere {
		o.say(cmd, "next            publish into that store, as a service's of the packages: … | sudo -u image2ipfs IMAGE2IPFS_PATH=/var/lib/image2ipfs image2ipfs; or push to its --push; or serve this one: image2ipfs serve --addr 127.0.0.1:5010, with -r 127.0.0.1:5010 here\n")
	}
	o.tellNamed(cmd, r.Root, r.named)
	if first, _, _ := strings.Cut(host, "/"); host != "" && !ref.IsHost(first) {
		o.say(cmd, "but engines take %s for an account on Docker Hub: -r wants a host with a dot or a port\n", first)
	}
	for _, name := range names {
		fmt.Fprintln(cmd.OutOrStdout(), name)
	}
	return nil
}

// tellLayers says what is not there, was made anew, or is not as was asked for.
func (o *publishOptions) tellLayers(cmd *cobra.Command, r *publish.Result) {
	firstOf(r.Absent, func(what string) { o.say(cmd, "not in the archive, so not published: %s\n", what) })
	for _, l := range r.Layers {
		if strings.Contains(l.MediaType, "zstd") && layer.Compression(o.compression).MediaType() != layer.Zstd.MediaType() {
			o.say(cmd, "layers are compressed with zstd, which dockerd before 23 (20.10 among them) does not read\n")
			break
		}
	}
	if o.recompress {
		o.say(cmd, "layers were compressed again: digests of images and layers are others than in the archive\n")
	}
	firstOf(r.Unindexed, func(what string) { o.say(cmd, "no index for layer %s: engines pull it as a whole\n", what) })
	firstOf(r.Dropped, func(what string) { o.say(cmd, "not published, since it refers to a digest of before: %s\n", what) })
}

// firstOf tells of the first ones of many, and how many there are besides.
func firstOf(all []string, tell func(what string)) {
	for _, what := range all[:min(len(all), mostTold)] {
		tell(oci.Quoted(what))
	}
	if more := len(all) - mostTold; more > 0 {
		tell(fmt.Sprintf("and %d more, which --json lists", more))
	}
}

// tellNames says which names do not mean one image.
func (o *publishOptions) tellNames(cmd *cobra.Command, r *publish.Result) {
	for _, same := range r.Same {
		o.say(cmd, "%s is the name of %d images and means the first; the others are pulled by digest:\n", oci.Quoted(same.Name), len(same.Images))
		for _, image := range same.Images {
			o.say(cmd, "  %s %s\n", image.Descriptor.Digest, oci.Quoted(strings.Join(r.PlatformsOf(image.Descriptor.Digest), ", ")))
		}
	}
	for _, name := range r.Misnamed {
		o.say(cmd, "no name that engines take, so left out: %q\n", name)
	}
}

// say tells humans something, unless they asked for quiet or for JSON.
func (o *publishOptions) say(cmd *cobra.Command, format string, args ...any) {
	if o.tellsHumans() {
		fmt.Fprintf(cmd.ErrOrStderr(), format, args...)
	}
}

func (o *publishOptions) tellsHumans() bool { return !o.quiet && !o.json }

func pullNames(r *publish.Result, host string) []string {
	var names []string
	for i := range r.Images {
		names = append(names, r.PullName(i, host))
	}
	return names
}

// anyPacked tells whether a layer is compressed.
func anyPacked(r *publish.Result) bool {
	return slices.ContainsFunc(r.Layers, func(l publish.Blob) bool {
		return strings.HasSuffix(l.MediaType, "gzip") || strings.HasSuffix(l.MediaType, "zstd")
	})
}

// tellNamed says what the local names are, and which stay something else.
func (o *publishOptions) tellNamed(cmd *cobra.Command, root cid.Cid, named local.Named) {
	if len(named.Set) > 0 {
		o.say(cmd, "local names     %s (image2ipfs serve --push answers to them)\n", oci.Quoted(strings.Join(named.Set, ", ")))
	}
	for _, name := range named.Left {
		o.say(cmd, "local name      %[1]s stays what was pushed or tagged by it; to move it: image2ipfs tag %[1]s %[2]s/%[1]s\n", oci.Quoted(name), ref.Ciq(root))
	}
}
