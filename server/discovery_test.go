package server

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// digestOf reads the digest of a descriptor in a manifest that is served.
func digestOf(t *testing.T, s *site, path, field string) string {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(s.get(path).body, &m); err != nil {
		t.Fatal(err)
	}
	var desc ocispec.Descriptor
	if err := json.Unmarshal(m[field], &desc); err != nil {
		t.Fatal(err)
	}
	return desc.Digest.String()
}

// distribution-spec, "Listing Tags": all of them, in lexical order, in pages.
func TestListingTags(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	a, b := l.Image("amd64", []byte("a")), l.Image("amd64", []byte("b"))
	root := l.Publish(oci.Named(a, "app:2"), oci.Named(b, "app:1"), oci.Named(a, "app:10"), oci.Named(b, "app:latest"), oci.Named(a, "other:x"))
	s := start(t, Config{Local: blocks})
	path := name(root) + "/app/tags/list"
	type list struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}
	read := func(path string) (list, string) {
		t.Helper()
		got := s.both(path).expect(t, http.StatusOK, "")
		var l list
		if err := json.Unmarshal(got.body, &l); err != nil || l.Tags == nil {
			t.Fatalf("%s: %q, %v", path, got.body, err)
		}
		next := regexp.MustCompile(`^<([^>]+)>; rel="next"$`).FindStringSubmatch(got.Header.Get("Link"))
		if next == nil {
			return l, got.Header.Get("Link")
		}
		return l, next[1]
	}
	all := []string{"1", "10", "2", "latest"}
	if got, link := read(path); !slices.Equal(got.Tags, all) || link != "" || "/v2/"+got.Name+"/tags/list" != path {
		t.Errorf("%+v, Link %q", got, link)
	}
	var paged []string
	for next := path + "?n=3&ns=x"; next != ""; {
		var page list
		if page, next = read(next); len(page.Tags) > 3 {
			t.Fatalf("page %q", page.Tags)
		} else {
			paged = append(paged, page.Tags...)
		}
	}
	if !slices.Equal(paged, all) {
		t.Errorf("pages have %q", paged)
	}
	for query, want := range map[string][]string{
		"?n=0": {}, "?n=100": all, "?last=2": {"latest"}, "?last=11&n=1": {"2"}, "?last=zzz": {}, "?n=4": all,
	} {
		if got, _ := read(path + query); !slices.Equal(got.Tags, want) {
			t.Errorf("%s: %q, want %q", query, got.Tags, want)
		}
	}
}

// An image without a tag is there, and has none ("Listing Tags": an empty list).
func TestListingNoTags(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	root := l.Publish(l.Image("amd64", []byte("a")))
	s := start(t, Config{Local: blocks})
	for _, repository := range []string{"", "/app"} {
		path := name(root) + repository
		got := s.both(path+"/tags/list").expect(t, http.StatusOK, "")
		if want := `{"name":"` + strings.TrimPrefix(path, "/v2/") + `","tags":[]}`; string(got.body) != want {
			t.Errorf("%s: %s, want %s", path, got.body, want)
		}
	}
}

// distribution-spec, "Listing Referrers": signatures and SBOMs that were
// published with an image are found.
func TestListingReferrers(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	image := l.Image("amd64", []byte("a"))
	artifact := func(m map[string]any) ocispec.Descriptor {
		m["schemaVersion"], m["mediaType"], m["subject"] = 2, ocispec.MediaTypeImageManifest, image
		return l.JSON(ocispec.MediaTypeImageManifest, m)
	}
	sbom := artifact(map[string]any{"artifactType": "application/sbom", "annotations": map[string]string{"k": "v"}})
	signature := artifact(map[string]any{"config": map[string]any{"mediaType": "application/signature"}})
	nested := artifact(map[string]any{"artifactType": "application/sbom", "annotations": map[string]string{"nested": "yes"}})
	root := l.Publish(oci.Named(image, "app:1"), signature, sbom, l.Index(nested))
	s := start(t, Config{Local: blocks})
	path := name(root) + "/app/referrers/"
	read := func(query string) []ocispec.Descriptor {
		t.Helper()
		got := s.both(path+query).expect(t, http.StatusOK, "")
		var index ocispec.Index
		if err := json.Unmarshal(got.body, &index); err != nil || index.SchemaVersion != 2 || index.MediaType != ocispec.MediaTypeImageIndex || index.Manifests == nil {
			t.Fatalf("%s: %q, %v", query, got.body, err)
		}
		if got.Header.Get("Content-Type") != ocispec.MediaTypeImageIndex {
			t.Errorf("Content-Type %q", got.Header.Get("Content-Type"))
		}
		if filtered := got.Header.Get("OCI-Filters-Applied") == "artifactType"; filtered != strings.Contains(query, "artifactType=a") {
			t.Errorf("%s: OCI-Filters-Applied %q", query, got.Header.Get("OCI-Filters-Applied"))
		}
		return index.Manifests
	}
	if got := read(image.Digest.String()); len(got) != 3 {
		t.Errorf("%d referrers, want 3", len(got))
	}
	got := read(image.Digest.String() + "?artifactType=application/sbom")
	if len(got) != 2 || !slices.ContainsFunc(got, func(d ocispec.Descriptor) bool {
		return d.Digest == sbom.Digest && d.Size == sbom.Size && d.ArtifactType == "application/sbom" && d.Annotations["k"] == "v"
	}) {
		t.Errorf("SBOMs: %+v", got)
	}
	if got := read(image.Digest.String() + "?artifactType=application/signature"); len(got) != 1 || got[0].Digest != signature.Digest {
		t.Errorf("signatures: %+v", got)
	}
	if got := read(image.Digest.String() + "?artifactType=application/sbom&artifactType=application/signature&artifactType=a/none"); len(got) != 3 {
		t.Errorf("of any of several types: %+v", got)
	}
	if got := read(image.Digest.String() + "?artifactType=application/signature&artifactType=a/none"); len(got) != 1 {
		t.Errorf("of one of two types: %+v", got)
	}
	if got := read(digest.FromString("nobody").String()); len(got) != 0 {
		t.Errorf("of nobody: %+v", got)
	}
}

// An answer larger than clients read would hide referrers: it comes in pages.
func TestReferrersInPages(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	image := l.Image("amd64", []byte("a"))
	top := []ocispec.Descriptor{oci.Named(image, "app:1")}
	for i := range 5 {
		top = append(top, l.JSON(ocispec.MediaTypeImageManifest, map[string]any{
			"schemaVersion": 2, "artifactType": "a/b", "subject": image, "annotations": map[string]string{"n": strings.Repeat(string(rune('a'+i)), 250<<10)},
		}))
	}
	root := l.Publish(top...)
	s := start(t, Config{Local: blocks})
	seen := map[digest.Digest]bool{}
	next, pages := name(root)+"/app/referrers/"+image.Digest.String(), 0
	for ; next != "" && pages < 10; pages++ {
		got := s.get(next).expect(t, http.StatusOK, "")
		if len(got.body) > oci.MaxManifestSize {
			t.Errorf("page of %d bytes", len(got.body))
		}
		var index ocispec.Index
		if err := json.Unmarshal(got.body, &index); err != nil {
			t.Fatal(err)
		}
		for _, d := range index.Manifests {
			seen[d.Digest] = true
		}
		next, _, _ = strings.Cut(strings.TrimPrefix(got.Header.Get("Link"), "<"), ">")
	}
	if len(seen) != 5 || pages < 2 {
		t.Errorf("%d referrers in %d pages", len(seen), pages)
	}
}
