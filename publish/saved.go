package publish

import (
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/archive"
)

// Saved is what an engine that keeps the files of layers says of the archive that it
// is writing, before that itself could: it is a docker archive with uncompressed
// layers. A layer need not be stored both as it is and compressed then, and one that
// was compressed before is told by its name.
type Saved struct {
	DiffIDs []digest.Digest // of the image's layers
}

// believe takes an engine's word for what an archive is.
func (in *intake) believe(s *Saved) {
	if s == nil {
		return
	}
	in.kind, in.told = dockerArchive, map[digest.Digest]bool{}
	for _, d := range s.DiffIDs {
		if d.Validate() == nil && d.Algorithm() == digest.SHA256 {
			in.told[d] = true
		}
	}
}

// keptWord refuses an archive that is not what its engine said.
func (in *intake) keptWord(found kind) error {
	if in.told == nil || found == dockerArchive {
		return nil
	}
	return fmt.Errorf("%w: expected a docker archive of an engine that keeps the files of layers, found an %s: save the image to a file and publish that", archive.ErrFormat, found)
}

// diffID is what the content of an entry ought to have as its diffID, by the archive's
// manifest, or by the engine's word where the entry is called by it, as Docker 25 and
// podman do; empty where that is not known.
func (in *intake) diffID(name string) digest.Digest {
	if d, ok := in.expected[name]; ok {
		return d
	}
	if d := claimedDigest(strings.TrimSuffix(name, ".tar")); in.told[d] {
		return d
	}
	return ""
}
