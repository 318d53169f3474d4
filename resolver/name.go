package resolver

import (
	"strings"

	"github.com/containerd/containerd/v2/pkg/reference"
	docker "github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
)

// imageName is the name under which containerd keeps what was asked for as
// given. That is the same, unless it has a scheme, upper-case letters, or a tag
// or digest right behind the CID; then it is spelt <ciq>/<repository>.
func imageName(given string, n ref.Name, repository string) string {
	if n.Host == "" && n.Repository == "" && (n.Tag != "" || n.Digest != "") {
		n.Repository = repository
		return n.String()
	}
	_, err := reference.Parse(given)
	if err == nil {
		_, err = docker.ParseNormalizedNamed(given)
	}
	if v0 := ref.Spell(n.Root).V0; err == nil && !(v0 != "" && strings.Contains(given, v0)) {
		return given
	}
	if n.Repository == "" {
		n.Repository = repository
	}
	return n.String()
}

// repositoryOf is how the layout calls an image.
func repositoryOf(l *layout.Layout, d digest.Digest) string {
	entry, _ := l.Entry(d)
	for _, name := range entry.Names {
		if name.Repository != "" {
			return name.Repository
		}
	}
	return oci.DefaultRepository
}
