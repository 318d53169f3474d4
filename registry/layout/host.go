package layout

import (
	"cmp"
	"slices"
	"strings"

	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry"
)

// OfHost gives the images that index.json calls by a name with its registry's host, such
// as "quay.io/coreos/etcd:3", where no tag is the default one; and all that have the name
// under whichever host, in the order of index.json.
func (n *Names) OfHost(name string) (of, all []registry.Image) {
	want, err := reference.ParseDockerRef(name)
	if err != nil {
		return nil, nil
	}
	repository, tag, _ := ref.CutTag(name)
	for _, e := range n.named(plain(repository), cmp.Or(tag, oci.DefaultTag)) {
		all = append(all, e.Image)
		if slices.ContainsFunc(e.listed, func(desc ocispec.Descriptor) bool { return slices.Contains(fullNames(desc), want.String()) }) {
			of = append(of, e.Image)
		}
	}
	return of, all
}

// FullNames lists for humans by which names with their hosts index.json calls images.
func FullNames(images []registry.Image) string {
	var names []string
	for _, i := range images {
		names = append(names, cmp.Or(strings.Join(fullNames(i.Descriptor), " and "), "a name without a host")+" ("+i.Descriptor.Digest.String()+")")
	}
	return oci.Quoted(strings.Join(names, ", "))
}

// fullNames are the names of a descriptor of index.json with their hosts, Docker's
// where none is said.
func fullNames(desc ocispec.Descriptor) (all []string) {
	full, refName := desc.Annotations[oci.AnnotationImageName], desc.Annotations[ocispec.AnnotationRefName]
	if _, _, tagged := ref.CutTag(full); full != "" && !tagged && oci.ValidTag(refName) {
		full += ":" + refName
	}
	for _, name := range []string{full, refName} {
		if !strings.ContainsAny(name, ":/") {
			continue
		}
		if named, err := reference.ParseDockerRef(name); err == nil && !slices.Contains(all, named.String()) {
			all = append(all, named.String())
		}
	}
	return all
}
