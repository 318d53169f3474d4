// Package source opens what is published: archives and layouts in files, and images
// in container engines, by the spellings that skopeo has for them.
package source

import (
	"errors"
	"fmt"
	"strings"
)

// ErrSpelling is matched by errors about a source that cannot be meant.
var ErrSpelling = errors.New("source cannot be understood")

// kind is where a source is.
type kind string

const (
	file         kind = ""
	dockerDaemon kind = "docker-daemon"
	podman       kind = "podman"
	containerd   kind = "containerd"
)

// spellings are the words before a colon that say where a source is.
var spellings = map[string]kind{
	"docker-daemon": dockerDaemon, "podman": podman, "containers-storage": podman, "containerd": containerd,
	"docker-archive": file, "oci": file, "oci-archive": file, "dir": file,
}

// Spec is a source as it was spelt.
type Spec struct {
	kind kind
	rest string // the path of a file, or the name of an image
}

// Parse reads a source: a path, "-", or one of docker-daemon:NAME, podman:NAME,
// containers-storage:NAME, containerd:NAME, docker-archive:FILE, oci:DIR,
// oci-archive:FILE and dir:DIR. A file of such a name is written ./docker-daemon:NAME.
// Errors match [ErrSpelling].
func Parse(arg string) (Spec, error) {
	if arg == "" {
		return Spec{}, fmt.Errorf("%w: it is empty", ErrSpelling)
	}
	word, rest, ok := strings.Cut(arg, ":")
	k, known := spellings[word]
	if !ok || !known {
		if ok && strings.HasPrefix(rest, "//") {
			return Spec{}, fmt.Errorf("%w: %s: nothing is read from %s://", ErrSpelling, arg, word)
		}
		return Spec{rest: arg}, nil
	}
	if rest == "" {
		return Spec{}, fmt.Errorf("%w: %s names nothing behind the colon", ErrSpelling, arg)
	}
	return Spec{k, rest}, nil
}

// IsStdin tells whether the source is standard input, which is read once.
func (s Spec) IsStdin() bool { return s.kind == file && s.rest == "-" }

// IsFile tells whether the source is a file, a directory or standard input, of which
// no platform is chosen.
func (s Spec) IsFile() bool { return s.kind == file }

// String is the source as it may be spelt.
func (s Spec) String() string {
	if s.kind == file {
		return s.rest
	}
	return string(s.kind) + ":" + s.rest
}
