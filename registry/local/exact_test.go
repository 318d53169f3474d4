package local_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/local"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// layoutOf gives m a root of images by their full names, and their digests.
func (m *memory) layoutOf(t *testing.T, day int, fullNames ...string) (root cid.Cid, digests map[string]digest.Digest) {
	t.Helper()
	l := testlayout.New(t, m)
	var top []ocispec.Descriptor
	digests = map[string]digest.Digest{}
	var names []string
	for _, name := range fullNames {
		desc := l.Image("amd64", fmt.Appendf(nil, "%s of day %d", name, day))
		digests[name] = desc.Digest
		top, names = append(top, oci.Named(desc, name)), append(names, ref.TrimHost(name))
	}
	root = l.Publish(top...)
	m.roots = append(m.roots, ipfs.Root{CID: root, Names: names[:1], Published: time.Date(2024, 1, day, 0, 0, 0, 0, time.UTC), Size: 100})
	return root, digests
}

// means is the digest that an argument means.
func means(t *testing.T, s local.Stores, arg string) (digest.Digest, error) {
	t.Helper()
	name, err := s.Find(t.Context(), arg)
	if err != nil {
		return "", err
	}
	l, err := s.Layout(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	desc, err := l.Resolve(t.Context(), name)
	return desc.Digest, err
}

// Whoever names a registry gets the image of that registry, in whichever place index.json
// has it, and whichever root is the newest; and is told where there is none of it among
// several.
func TestFindByHost(t *testing.T) {
	m := newMemory("own")
	all := local.Stores{m}
	const quay, ghcr, gcr = "quay.io/coreos/etcd:3", "ghcr.io/coreos/etcd:3", "gcr.io/coreos/etcd:3"
	_, old := m.layoutOf(t, 1, gcr)
	root, both := m.layoutOf(t, 2, quay, ghcr)
	for arg, want := range map[string]digest.Digest{
		quay: both[quay], ghcr: both[ghcr], gcr: old[gcr], "coreos/etcd:3": both[quay], "localhost:5000/coreos/etcd:3": both[quay],
		ref.Ciq(root) + "/coreos/etcd:3": both[quay],
	} {
		if got, err := means(t, all, arg); err != nil || got != want {
			t.Errorf("%s means %s (%v), want %s", arg, got, err, want)
		}
		if found, err := all.FindAll(t.Context(), arg); err != nil || len(found) == 0 {
			t.Errorf("%s: %+v, %v", arg, found, err)
		}
	}
	_, err := all.Find(t.Context(), "example.com/coreos/etcd:3")
	if !errors.Is(err, local.ErrAmbiguous) || !strings.Contains(err.Error(), quay) || !strings.Contains(err.Error(), ghcr) {
		t.Errorf("a host that none of them has: %v, want an error that lists both", err)
	}
	m.layoutOf(t, 3, "docker.io/library/busybox:1")
	library, _ := m.layoutOf(t, 3, "library/y:1")
	for _, arg := range []string{"library/y:1", "y:1", "docker.io/library/y:1", "docker.io/y:1", "y"} {
		if got, err := all.Find(t.Context(), arg); err != nil || !got.Root.Equals(library) {
			t.Errorf("%s: %s, %v, want %s", arg, got, err, library)
		}
	}
	if _, err := all.Find(t.Context(), "example.com/busybox:1"); err != nil {
		t.Errorf("the only image of a name, by another host: %v", err)
	}
}

// A digest behind a name that people type counts as it does behind a CID.
func TestFindByDigest(t *testing.T) {
	m := newMemory("own")
	all := local.Stores{m}
	const name, other = "coreos/etcd:3", "coreos/etcd:4"
	_, old := m.layoutOf(t, 1, name)
	m.layoutOf(t, 1, other)
	newest, now := m.layoutOf(t, 2, name, "app:1")
	absent := digest.FromString("absent")
	for arg, want := range map[string]digest.Digest{
		name + "@" + now[name].String(): now[name], "coreos/etcd@" + now[name].String(): now[name], "coreos/etcd@" + old[name].String(): old[name],
		"quay.io/coreos/etcd:3@" + now[name].String(): now[name],
	} {
		if got, err := means(t, all, arg); err != nil || got != want {
			t.Errorf("%s means %s (%v), want %s", arg, got, err, want)
		}
		if found, err := all.FindAll(t.Context(), arg); err != nil || len(found) != 1 || found[0].Name.Digest != want {
			t.Errorf("%s: %+v, %v", arg, found, err)
		}
	}
	for arg, says := range map[string][]string{
		name + "@" + old[name].String(): {old[name].String(), now[name].String()}, "quay.io/" + name + "@" + old[name].String(): {old[name].String(), now[name].String()},
		"coreos/etcd@" + absent.String(): {absent.String()}, "nothing:1@" + absent.String(): {"nothing:1"},
	} {
		_, err := all.Find(t.Context(), arg)
		if !errors.Is(err, ipfs.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", arg, err)
			continue
		}
		for _, word := range says {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v does not say %s", arg, err, word)
			}
		}
	}
	for _, arg := range []string{name + "@sha256:123", name + "@", ref.Ciq(newest) + "/app@x"} {
		if _, err := all.Find(t.Context(), arg); !errors.Is(err, ref.ErrInvalidName) {
			t.Errorf("%s: %v, want ErrInvalidName", arg, err)
		}
		if _, err := all.FindAll(t.Context(), arg); !errors.Is(err, ref.ErrInvalidName) {
			t.Errorf("%s: %v, want ErrInvalidName of all", arg, err)
		}
	}
}
