package resolver

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs/sources"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// Whatever spelling a user has been given must lead to the same image, under a
// name that containerd keeps images by and that leads back to it.
func TestResolveSpellings(t *testing.T) {
	im := publish(t, 1)
	r := newResolver(t, WithStore(im.blocks))
	s := ref.Spell(im.root)
	canonical := im.name + "/team/app"
	digest := "@" + im.index.Digest.String()
	for given, want := range map[string]string{
		im.name:                 im.name,
		im.name + "/team/app":   im.name + "/team/app",
		im.name + "/team/app:1": im.name + "/team/app:1",
		im.name + "/other:7":    "", // one image under any name? two here: see below
		"localhost:5000/" + im.name + "/team/app":  "localhost:5000/" + im.name + "/team/app",
		"docker.io/library/" + im.name + ":latest": "docker.io/library/" + im.name + ":latest",
		im.name + ":1":                   canonical + ":1",
		im.name + digest:                 canonical + digest,
		im.name + "/team/app:1" + digest: im.name + "/team/app:1" + digest,
		s.V1 + "/team/app:1":             s.V1 + "/team/app:1",
		s.Base36 + "/team/app:1":         s.Base36 + "/team/app:1",
		s.Hex + "/team/app:1":            s.Hex + "/team/app:1",
		s.V0:                             canonical,
		s.V0 + "/team/app:1":             canonical + ":1",
		"ipfs://" + s.V1:                 canonical,
		"/ipfs/" + s.V0 + "/":            canonical,
	} {
		name, desc, err := r.Resolve(t.Context(), given)
		if err != nil || desc.Digest != im.index.Digest {
			t.Errorf("Resolve(%q) = %q, %v, %v", given, name, desc.Digest, err)
			continue
		}
		if want != "" && name != want {
			t.Errorf("Resolve(%q) gives the name %q, want %q", given, name, want)
		}
		if _, err := reference.Parse(name); err != nil {
			t.Errorf("%q is no name for containerd: %v", name, err)
		}
		if again, desc2, err := r.Resolve(t.Context(), name); err != nil || again != name || desc2.Digest != desc.Digest {
			t.Errorf("Resolve(%q) = %q, %v, %v", name, again, desc2.Digest, err)
		}
		if desc.Annotations != nil || desc.MediaType != ocispec.MediaTypeImageIndex || desc.Size != im.index.Size {
			t.Errorf("descriptor %+v, want what a registry gives", desc)
		}
	}
}

// A digest in the name is a promise that containerd does not check.
func TestResolveDigest(t *testing.T) {
	im := publish(t, 1)
	r := newResolver(t, WithStore(im.blocks))
	_, desc, err := r.Resolve(t.Context(), im.name+"/team/app@"+im.amd64.Digest.String())
	if err != nil || desc.Digest != im.amd64.Digest || desc.MediaType != ocispec.MediaTypeImageManifest {
		t.Errorf("one platform by its digest: %+v, %v", desc, err)
	}
	for _, d := range []digest.Digest{digest.FromString("another"), im.large.Digest, im.amd64.Digest} {
		name := im.name + "/team/app:1@" + d.String()
		if d == im.large.Digest {
			name = im.name + "/team/app@" + d.String() // is there, but no image
		}
		_, _, err := r.Resolve(t.Context(), name)
		if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), im.index.Digest.String()) {
			t.Errorf("Resolve(%q): %v, want not found, with what is there", name, err)
		}
	}
}

// What fails must fail with the kind that containerd's callers ask for.
func TestResolveErrors(t *testing.T) {
	two := testlayout.NewBlocks()
	l := testlayout.New(t, two)
	root := l.Publish(oci.Named(l.Image("amd64", noise(1, 10)), "app:1"), oci.Named(l.Image("amd64", noise(2, 10)), "web:2"))
	name := ref.Ciq(root)
	r := newResolver(t, WithStore(two))
	for given, check := range map[string]func(error) bool{
		"docker.io/library/busybox:latest": errdefs.IsInvalidArgument,
		"":                                 errdefs.IsInvalidArgument,
		name + "/app@sha256:12":            errdefs.IsInvalidArgument,
		name + "/db":                       errdefs.IsNotFound,
		name + "/app:2":                    errdefs.IsNotFound,
		name:                               errdefs.IsNotFound,
		publish(t, 1).name:                 errdefs.IsNotFound,
	} {
		_, _, err := r.Resolve(t.Context(), given)
		if !check(err) {
			t.Errorf("Resolve(%q): %v", given, err)
		}
		if strings.HasPrefix(given, name) && errdefs.IsNotFound(err) && !(strings.Contains(err.Error(), "app:1") && strings.Contains(err.Error(), "web:2")) {
			t.Errorf("Resolve(%q): %v, which does not list app:1 and web:2", given, err)
		}
	}
	if _, err := r.Fetcher(t.Context(), "busybox"); !errdefs.IsInvalidArgument(err) {
		t.Errorf("Fetcher: %v", err)
	}
	if _, err := r.Pusher(t.Context(), name); !errdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("Pusher: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := newResolver(t, WithStore(two)).Resolve(ctx, name); !errors.Is(err, context.Canceled) {
		t.Errorf("Resolve with a context that has ended: %v", err)
	}
}

// Layouts that were looked at are forgotten at some point, not used up.
func TestLayoutsAreBounded(t *testing.T) {
	all := testlayout.NewBlocks()
	r := newResolver(t, WithStore(all))
	var names []string
	for i := range maxLayouts + 4 {
		l := testlayout.New(t, all)
		names = append(names, ref.Ciq(l.Publish(oci.Named(l.Image("amd64", noise(uint64(i), 10)), "app:1"))))
	}
	for range 2 {
		for _, name := range names {
			if _, _, err := r.Resolve(t.Context(), name+"/app:1"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := len(r.layouts.opened); n != maxLayouts {
		t.Errorf("%d layouts are held, want %d", n, maxLayouts)
	}
}

// A pull looks at an image before it resolves it: a source that lied then is not
// asked again, and what was there before the resolver stays when it is closed.
func TestWithSources(t *testing.T) {
	im := publish(t, 1)
	var n counted
	wrap := badGateways[0].wrap // flips one bit
	bad := i2i(t, im.blocks, func(h http.Handler) http.Handler { return n.wrap(wrap(h)) })
	set := sources.New(sources.Options{Insist: true}, sources.Far(gatewayAt(t, bad, true)), sources.Far(im.blocks))
	defer set.Close()
	if _, err := set.Get(t.Context(), im.root); err != nil {
		t.Fatal(err)
	}
	r := newResolver(t, WithSources(set))
	if err := im.pull(t, r); err != nil {
		t.Error(err)
	}
	if asked := n.raw.Load() + n.car.Load(); asked != 1 {
		t.Errorf("the liar was asked %d times, want 1", asked)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := set.Get(t.Context(), im.root); err != nil {
		t.Errorf("after the resolver was closed: %v", err)
	}
}
