// Package source opens what is published: archives and layouts in files, and images
// in container engines and registries, by the spellings that skopeo has for them.
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
	inRegistry   kind = "docker"
	onIPFS       kind = "ipfs"
)

// spellings are the words before a colon that say where a source is.
var spellings = map[string]kind{
	"docker-daemon": dockerDaemon, "podman": podman, "containers-storage": podman, "containerd": containerd,
	"docker-archive": file, "oci": file, "oci-archive": file, "dir": file,
}

// schemes are the words before :// that say where a source is.
var schemes = map[string]kind{"docker": inRegistry, "ipfs": onIPFS}

// Spec is a source as it was spelt.
type Spec struct {
	kind kind
	rest string // the path of a file, or the name of an image
}

// Parse reads a source: a path, "-", or one of docker-daemon:NAME, podman:NAME,
// containers-storage:NAME, containerd:NAME, docker://NAME, ipfs://CID,
// docker-archive:FILE, oci:DIR, oci-archive:FILE and dir:DIR. A file of such a name is written ./docker-daemon:NAME.
// Errors match [ErrSpelling].
func Parse(arg string) (Spec, error) {
	if arg == "" {
		return Spec{}, fmt.Errorf("%w: it is empty", ErrSpelling)
	}
	if scheme, rest, ok := strings.Cut(arg, "://"); ok {
		k, known := schemes[scheme]
		if !known || rest == "" {
			return Spec{}, fmt.Errorf("%w: %s: expected an image of a registry, such as docker://registry.example/app:1, or ipfs://CID", ErrSpelling, arg)
		}
		return Spec{k, rest}, nil
	}
	word, rest, ok := strings.Cut(arg, ":")
	k, known := spellings[word]
	if !ok || !known {
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
	switch s.kind {
	case file:
		return s.rest
	case inRegistry, onIPFS:
		return string(s.kind) + "://" + s.rest
	}
	return string(s.kind) + ":" + s.rest
}
