package page

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// An image is found by whatever a user has of it: a part of a name in any case, a CID in any
// spelling or its beginning, a digest as it is or as the page shortens it.
func TestSearch(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	top := l.Image("amd64", []byte("layer"))
	root := l.Publish(top)
	o := testlayout.New(t, blocks)
	other := o.Publish(o.Image("arm64", []byte("another")))
	p := New(Config{Local: blocks, Kept: func(context.Context) ([]ipfs.Root, error) {
		return []ipfs.Root{{CID: root, Names: []string{"Team/App:1"}}, {CID: other, Names: []string{"else:1"}}}, nil
	}}, &Traffic{}, &Pushes{})
	s, layer := ref.Spell(root), digest.FromString("layer").String()
	for query, want := range map[string]int{
		"": 2, "app": 1, "APP": 1, "team/APP:1": 1, "nothing": 0, " app ": 1,
		s.Ciq: 1, s.Ciq[:14]: 1, strings.ToUpper(s.Ciq[:14]): 1, s.V1: 1, s.V1[:20]: 1, s.V0: 1, s.V0[:12]: 1, s.Base36[:20]: 1, s.Hex[:20]: 1,
		short(s.Ciq): 1, "localhost:5000/" + s.Ciq + "/app": 1, "ipfs://" + s.V1: 1,
		top.Digest.String(): 1, layer: 1, layer[:20]: 1, short(layer): 1, "sha256:000000": 0, "sha256:" + strings.Repeat("0", 64): 0,
	} {
		got, err := p.overview(t.Context(), url.Values{"q": {query}})
		if err != nil || got.Found != want || want == 1 && got.Rows[0].Root != s.Ciq {
			t.Errorf("%q: found %d, %v, want %d", query, got.Found, err, want)
		}
	}
	p.cfg.Local = failing{blocks, root, context.DeadlineExceeded}
	p.images.Forget(root)
	if got, err := p.overview(t.Context(), url.Values{"q": {layer}}); err != nil || got.Unread != 2-got.Found || got.Unread == 0 {
		t.Errorf("while nothing can be read: %+v, %v", got, err)
	}
}

// What no engine takes has lines of programs that copy it, and what is no tar is not taken for
// a layer.
func TestArtifacts(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	sbom := l.Blob("application/spdx+json", []byte("{}"))
	tar := l.Blob("application/vnd.cncf.helm.chart.content.v1.tar+gzip", []byte("tar"))
	config := l.Blob("application/vnd.oci.empty.v1+json", []byte("{}"))
	root := l.Publish(l.JSON(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/spdx+json", Config: config, Layers: []ocispec.Descriptor{sbom, tar},
	}))
	w, err := ask(t.Context(), pageOfRoots(blocks, root), "?root="+ref.Ciq(root))
	text := w.Body.String()
	if err != nil || strings.Contains(text, "docker pull") || !strings.Contains(text, "oras copy --from-plain-http localhost:5000/") || !strings.Contains(text, "image2ipfs pull --to oci:image") {
		t.Errorf("%v: %s", err, text)
	}
	if strings.Contains(text, "Files of layer "+sbom.Digest.String()) || !strings.Contains(text, "Files of layer "+tar.Digest.String()) {
		t.Error("what is no tar is linked as a layer, or a tar is not")
	}
}

// What is said to be absent tells strangers no more than errors do.
func TestAbsentIsSaid(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	gone := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("gone"), Size: 4, Platform: &ocispec.Platform{OS: "linux", Architecture: "riscv64"}}
	root := l.Publish(l.Index(l.Image("amd64", []byte("layer")), gone))
	p := pageOfRoots(blocks, root)
	p.cfg.Say = func(text string) string { return "said: " + text }
	for range 2 { // what is kept is as it was
		w, err := ask(t.Context(), p, "?root="+ref.Ciq(root))
		if err != nil || !strings.Contains(w.Body.String(), "Not here: said: linux/riscv64") {
			t.Errorf("%v: %s", err, w.Body)
		}
	}
}

// A layer that is distributed elsewhere and not here leads nowhere.
func TestAbsentLayer(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	here := l.Blob(ocispec.MediaTypeImageLayer, []byte("here"))
	elsewhere := ocispec.Descriptor{MediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", Digest: digest.FromString("elsewhere"), Size: 9, URLs: []string{"https://layers.example/1"}}
	config := l.Blob(ocispec.MediaTypeImageConfig, []byte(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}`))
	root := l.Publish(l.JSON(ocispec.MediaTypeImageManifest, ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{here, elsewhere}}))
	p := pageOfRoots(blocks, root)
	i, err := p.inspect(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	pieces, _, _ := i.page(1)
	rows := i.sections(pieces, "", false)[0].Manifests[0].Layers
	if len(rows) != 2 || !rows[0].Linked || rows[1].Linked || !rows[1].Absent {
		t.Errorf("layers %+v", rows)
	}
	if !slices.ContainsFunc([]string{"application/vnd.docker.image.rootfs.diff.tar.gzip", ""}, browsable) || browsable("application/octet-stream") {
		t.Error("docker's layers cannot be browsed, or anything can")
	}
	if _, err := p.layer(t.Context(), url.Values{"root": {ref.Ciq(root)}, "layer": {elsewhere.Digest.String()}}); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the absent layer: %v", err)
	}
}
