package publish

import (
	"context"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
)

// canonical gives entries of index.json that say nothing of an image but what it is
// and by which name, the form in which a registry that is pushed to writes them: the
// same image by the same name is the same layout then, whoever wrote it. Entries that
// say more stay as they are.
func (c contents) canonical(ctx context.Context, manifests []ocispec.Descriptor) []ocispec.Descriptor {
	all := make([]ocispec.Descriptor, len(manifests))
	for i, desc := range manifests {
		all[i] = desc
		if name, ok := plainName(desc); ok {
			if manifest, err := c.Small(ctx, desc.Digest); err == nil {
				all[i] = oci.Entry(desc, manifest, name)
			}
		}
	}
	return all
}

// plainName is the name of an entry that has one, with a tag, and says nothing else
// that its manifest does not say as well.
func plainName(desc ocispec.Descriptor) (name string, ok bool) {
	for key := range desc.Annotations {
		switch key {
		case oci.AnnotationImageName, ocispec.AnnotationRefName, ocispec.AnnotationCreated:
		default:
			return "", false
		}
	}
	names := oci.ImageNames(desc)
	if len(names) != 1 || names[0].Repository == "" || names[0].Tag == "" || desc.Platform != nil || len(desc.URLs)+len(desc.Data) > 0 || desc.MediaType == "" {
		return "", false
	}
	name, short := desc.Annotations[oci.AnnotationImageName], desc.Annotations[ocispec.AnnotationRefName]
	if name == "" || strings.HasPrefix(short, "library/") { // as it was typed
		name = short
	}
	return name, oci.ValidImageName(name)
}
