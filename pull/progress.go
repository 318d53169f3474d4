package pull

import (
	"fmt"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/docker/go-units"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Progress is told how a pull goes on. Its functions may be nil, and are called
// by several goroutines at once.
type Progress struct {
	Event func(line string) // what has happened to a content, for humans
	Bytes func(n int)       // n more bytes of contents have arrived
}

// Write counts the bytes of contents; it never fails.
func (p Progress) Write(b []byte) (int, error) {
	p.add(int64(len(b)))
	return len(b), nil
}

func (p Progress) add(n int64) {
	if p.Bytes != nil {
		p.Bytes(int(n))
	}
}

func (p Progress) tell(line string) {
	if p.Event != nil {
		p.Event(line)
	}
}

// content tells of one content, and whether it was there before.
func (p Progress) content(desc ocispec.Descriptor, before bool) {
	line := fmt.Sprintf("%s %s, %s", kindOf(desc), desc.Digest, units.HumanSize(float64(desc.Size)))
	if before {
		line += ", was there"
	}
	p.tell(line)
}

func kindOf(desc ocispec.Descriptor) string {
	switch {
	case images.IsIndexType(desc.MediaType):
		return "index"
	case images.IsManifestType(desc.MediaType):
		return "manifest"
	case images.IsLayerType(desc.MediaType):
		return "layer"
	case images.IsConfigType(desc.MediaType):
		return "config"
	}
	return "content"
}
