package ref

import (
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"
	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
)

// ErrInvalidName is matched by errors about malformed pull names.
var ErrInvalidName = errors.New("invalid name")

// Name is a parsed pull name: [host/]<root>[/repository][:tag][@digest].
type Name struct {
	Host       string        // registry host with port, empty when not given
	Root       cid.Cid       // the published layout; undefined where Moving has yet to be looked up
	Moving     string        // the name that moves by which the root is found, see [ParseMoving]; empty for a CID
	Repository string        // image inside the layout, e.g. "coreos/etcd"; may be empty
	Tag        string        // may be empty
	Digest     digest.Digest // manifest or index digest that must match; may be empty
}

// ParseName reads a pull name in any spelling of its root, with or without a
// registry host, "ipfs://" or "/ipfs/" in front of it. Errors match
// [ErrInvalidName], and [ErrNotRoot] when no component spells a root.
func ParseName(s string) (Name, error) {
	rest := s
	for _, prefix := range []string{"ipfs://", "https://", "http://", "/ipfs/"} {
		rest = strings.TrimPrefix(rest, prefix)
	}
	n, rest, err := parseEnd(s, rest)
	if err != nil {
		return Name{}, err
	}
	root, repository, host, err := splitPath(strings.Trim(rest, "/"))
	if err != nil {
		return Name{}, fmt.Errorf("%w: %w", ErrInvalidName, err)
	}
	n.Root, n.Repository, n.Host = root, repository, host
	return n, nil
}

// parseEnd reads tag and digest of a name, and gives what stands before them.
func parseEnd(s, rest string) (n Name, path string, err error) {
	if rest, n.Digest, err = CutDigest(rest); err != nil {
		return Name{}, "", err
	}
	var tagged bool
	if rest, n.Tag, tagged = CutTag(rest); tagged && n.Tag == "" {
		return Name{}, "", fmt.Errorf("%w: %q: empty tag", ErrInvalidName, s)
	}
	return n, rest, nil
}

// CutDigest parts an image name, with or without a CID in it, from its digest, which
// follows an "@" and is empty where there is none. Errors match [ErrInvalidName].
func CutDigest(name string) (image string, d digest.Digest, err error) {
	at := strings.LastIndexByte(name, '@')
	if at < 0 {
		return name, "", nil
	}
	if d, err = digest.Parse(name[at+1:]); err != nil {
		return name, "", fmt.Errorf("%w: %q: digest: %v", ErrInvalidName, name, err)
	}
	return name[:at], d, nil
}

// splitPath finds the root among the first components of a slash-separated
// path: it may follow a host, and the "library" that dockerd puts in front of
// single-component names.
func splitPath(p string) (root cid.Cid, repository, host string, err error) {
	parts := strings.Split(p, "/")
	i := 0
	if len(parts) > 1 && IsHost(parts[0]) {
		host, i = parts[0], 1
	}
	if len(parts) > i+1 && parts[i] == "library" {
		i++
	}
	root, err = ParseRoot(parts[i])
	if err != nil {
		return cid.Undef, "", "", err
	}
	return root, strings.Join(parts[i+1:], "/"), host, nil
}

// ParseRepository reads the repository of a registry request,
// <root>[/repository], where dockerd may have put "library/" in front.
func ParseRepository(p string) (root cid.Cid, repository string, err error) {
	root, repository, host, err := splitPath(p)
	if err == nil && host != "" {
		err = fmt.Errorf("%w: %q", ErrNotRoot, host)
	}
	return root, repository, err
}

// CutTag parts an image name from its tag, which follows a colon behind the last
// slash.
func CutTag(name string) (repository, tag string, tagged bool) {
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		return name[:colon], name[colon+1:], true
	}
	return name, "", false
}

// IsHost tells whether the first component of an image name is a registry
// host: it contains "." or ":" or is "localhost".
func IsHost(component string) bool {
	return component == "localhost" || strings.ContainsAny(component, ".:")
}

// TrimHost drops the registry host from an image's name, with or without a
// tag: "quay.io/coreos/etcd" gives "coreos/etcd". Docker's normalised
// "docker.io/library/busybox" gives "busybox"; a plain "library/busybox" stays.
func TrimHost(name string) string {
	host, rest, found := strings.Cut(name, "/")
	if !found || !IsHost(host) {
		return name
	}
	if host == "docker.io" || host == "index.docker.io" {
		return TrimLibrary(rest)
	}
	return rest
}

// TrimLibrary drops the "library/" by which Docker's full names tell those of one
// component: "library/busybox:1" gives "busybox:1". In front of several, such as
// "library/team/app", it is part of the name.
func TrimLibrary(name string) string {
	if rest, found := strings.CutPrefix(name, "library/"); found && !strings.Contains(rest, "/") {
		return rest
	}
	return name
}

// CleanRegistry turns the value of a registry flag into the host that stands
// in pull names: scheme and trailing slashes are dropped.
func CleanRegistry(s string) string {
	if _, rest, found := strings.Cut(s, "://"); found {
		s = rest
	}
	return strings.TrimRight(s, "/")
}

// RegistryURL is the value of a registry flag as a URL, http:// where it has no
// scheme.
func RegistryURL(s string) string {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	return strings.TrimRight(s, "/")
}

// CheckRegistry tells whether pull names that begin with the value of a registry
// flag are names at all. Errors match [ErrInvalidName].
func CheckRegistry(s string) error {
	if scheme, _, found := strings.Cut(s, "://"); found && scheme != "http" && scheme != "https" {
		return fmt.Errorf("%w: %q: registries speak http and https", ErrInvalidName, s)
	}
	host := CleanRegistry(s)
	if host == "" { // names for a mirror have no host
		return nil
	}
	if _, err := reference.WithName(host + "/image"); err != nil {
		return fmt.Errorf("%w: %q is no registry, which is a host such as gateway.local:8080: %v", ErrInvalidName, s, err)
	}
	return nil
}

// Plain tells whether a name is that of a root alone, of whatever is under it.
func (n Name) Plain() bool { return n.Repository == "" && n.Tag == "" && n.Digest == "" }

// String is the pull name with the root in its default spelling, or the name that
// moves in its place.
func (n Name) String() string {
	var b strings.Builder
	if n.Host != "" {
		b.WriteString(n.Host + "/")
	}
	if n.Moving != "" {
		b.WriteString(n.Moving)
	} else {
		b.WriteString(Ciq(n.Root))
	}
	if n.Repository != "" {
		b.WriteString("/" + n.Repository)
	}
	if n.Tag != "" {
		b.WriteString(":" + n.Tag)
	}
	if n.Digest != "" {
		b.WriteString("@" + n.Digest.String())
	}
	return b.String()
}
