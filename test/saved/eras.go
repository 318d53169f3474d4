package saved

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
)

// item is an element of manifest.json.
type item struct {
	Config       string
	RepoTags     []string // null for none
	Layers       []string
	LayerSources map[digest.Digest]ocispec.Descriptor `json:",omitempty"`
}

// repositories are those of the file of that name: tags of each, and what they stand for.
type repositories map[string]map[string]string

// add takes the names that have a tag; of a name that is there it tells so.
func (r repositories) add(names []string, id string) (taken []string) {
	for _, name := range names {
		at := strings.LastIndex(name, ":")
		if at < 0 || strings.Contains(name, "@") || strings.Contains(name[at:], "/") || r[name[:at]][name[at+1:]] != "" {
			continue
		}
		if r[name[:at]] == nil {
			r[name[:at]] = map[string]string{}
		}
		r[name[:at]][name[at+1:]] = id
		taken = append(taken, name)
	}
	return taken
}

// legacy is what Docker wrote before 1.10: a directory for each layer, chained by parent.
// Without names there is no file "repositories", and with some the nameless are left out.
func legacy(r *rand.Rand, pictures []picture) (*writer, []picture) {
	w, names, heads := &writer{}, repositories{}, map[string]picture{}
	for _, p := range pictures {
		parent := ""
		for i, l := range p.layers {
			head := map[string]any{"parent": parent, "created": "2014-01-01T00:00:00Z", "os": "linux", "architecture": "amd64"}
			if parent == "" {
				delete(head, "parent")
			}
			if i == len(p.layers)-1 {
				head["config"] = map[string]any{"Labels": map[string]string{Label: p.id}}
			}
			head["id"] = digest.FromBytes(append(encode(head), l...)).Encoded()
			parent = head["id"].(string)
			w.add(parent+"/VERSION", []byte("1.0"))
			w.json(parent+"/json", head)
			w.add(parent+"/layer.tar", l)
		}
		p.names = slices.Concat(heads[parent].names, names.add(p.names, parent))
		heads[parent] = p
	}
	var listed []picture
	ids := []string{}
	for id, p := range heads {
		if len(names) == 0 || len(p.names) > 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		p := heads[id]
		slices.SortFunc(p.names, func(a, b string) int {
			return strings.Compare(strings.Replace(a, ":", "\x00", 1), strings.Replace(b, ":", "\x00", 1))
		})
		listed = append(listed, p)
	}
	if len(names) > 0 || r.IntN(2) == 0 {
		w.json("repositories", names)
	}
	return w, listed
}

// classic is what Docker 1.10 to 24 write: manifest.json, with directories for layers as
// before, of which what is there already is a link.
func classic(r *rand.Rand, pictures []picture) (*writer, []picture) {
	w, names, first := &writer{}, repositories{}, map[digest.Digest]string{}
	var items []item
	for i, p := range pictures {
		it := item{Config: digest.FromBytes(p.config()).Encoded() + ".json", RepoTags: p.names}
		w.add(it.Config, p.config())
		for n, l := range p.layers {
			d := digest.FromBytes(l)
			dir := digest.FromString(fmt.Sprint(i, n)).Encoded()
			w.add(dir+"/VERSION", []byte("1.0"))
			w.json(dir+"/json", map[string]string{"id": dir})
			if first[d] == "" {
				first[d] = dir
				w.add(dir+"/layer.tar", l)
			} else {
				w.link(dir+"/layer.tar", "../"+first[d]+"/layer.tar")
			}
			it.Layers = append(it.Layers, dir+"/layer.tar")
		}
		names.add(p.names, digest.FromString(fmt.Sprint(i, len(p.layers)-1)).Encoded())
		items = append(items, it)
	}
	w.json("manifest.json", items)
	if len(names) > 0 || r.IntN(2) == 0 {
		w.json("repositories", names)
	}
	return w, pictures
}

// podman is what podman and skopeo write: a file for each layer, with links to them where
// old engines look.
func podman(_ *rand.Rand, pictures []picture) (*writer, []picture) {
	w, names := &writer{}, repositories{}
	var items []item
	for i, p := range pictures {
		it := item{Config: digest.FromBytes(p.config()).Encoded() + ".json", RepoTags: p.names}
		w.add(it.Config, p.config())
		for n, l := range p.layers {
			file, dir := digest.FromBytes(l).Encoded()+".tar", digest.FromString(fmt.Sprint(i, n)).Encoded()
			w.add(file, l)
			w.link(dir+"/layer.tar", "../"+file)
			w.add(dir+"/VERSION", []byte("1.0"))
			w.json(dir+"/json", map[string]string{"id": dir})
			it.Layers = append(it.Layers, file)
		}
		names.add(p.names, digest.FromString(fmt.Sprint(i, len(p.layers)-1)).Encoded())
		items = append(items, it)
	}
	w.json("manifest.json", items)
	w.json("repositories", names)
	return w, pictures
}

func (w *writer) blob(mediaType string, data []byte) ocispec.Descriptor {
	d := digest.FromBytes(data)
	w.add(oci.BlobPath(d), data)
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

func (w *writer) manifest(config ocispec.Descriptor, layers []ocispec.Descriptor) ocispec.Descriptor {
	return w.blob(ocispec.MediaTypeImageManifest, encode(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: layers,
	}))
}

// listed are the entries of index.json of an image, one for each name, as Docker
// annotates them.
func listed(desc ocispec.Descriptor, names []string) (top []ocispec.Descriptor) {
	for _, name := range names {
		full := name
		host, _, hasPath := strings.Cut(name, "/")
		switch {
		case !hasPath:
			full = "docker.io/library/" + name
		case host != "localhost" && !strings.ContainsAny(host, ".:"):
			full = "docker.io/" + name
		}
		named := desc
		named.Annotations = map[string]string{oci.AnnotationImageName: full}
		if strings.HasPrefix(name, "sha256:") {
			named.Annotations[oci.AnnotationImageName] = name
		}
		if at := strings.LastIndex(name, ":"); at > strings.LastIndex(name, "/") && !strings.Contains(name, "@") {
			named.Annotations[ocispec.AnnotationRefName] = name[at+1:]
		}
		top = append(top, named)
	}
	if len(names) == 0 {
		top = append(top, desc)
	}
	return top
}

// classicLayout is what the classic store of Docker 25 and later writes: manifest.json
// with LayerSources, inside a layout made at save time.
func classicLayout(r *rand.Rand, pictures []picture) (*writer, []picture) {
	w, names := &writer{}, repositories{}
	var items []item
	var top []ocispec.Descriptor
	for _, p := range pictures {
		config := w.blob(ocispec.MediaTypeImageConfig, p.config())
		it := item{Config: oci.BlobPath(config.Digest), RepoTags: p.names, LayerSources: map[digest.Digest]ocispec.Descriptor{}}
		var layers []ocispec.Descriptor
		for _, l := range p.layers {
			desc := w.blob(ocispec.MediaTypeImageLayer, l)
			layers = append(layers, desc)
			it.Layers = append(it.Layers, oci.BlobPath(desc.Digest))
			it.LayerSources[desc.Digest] = desc
			names.add(p.names, desc.Digest.Encoded())
		}
		items = append(items, it)
		top = append(top, listed(w.manifest(config, layers), p.names)...)
	}
	w.json("manifest.json", items)
	if len(names) > 0 || r.IntN(2) == 0 {
		w.json("repositories", names)
	}
	w.json(ocispec.ImageIndexFile, oci.NewIndex(top))
	w.add(ocispec.ImageLayoutFile, oci.LayoutFile)
	return w, pictures
}

// containerd is what Docker writes whose images are in containerd: the images' own
// manifests and compressed layers, perhaps below an index with an attestation, and
// perhaps what refers to them; manifest.json is for old engines.
func containerd(r *rand.Rand, pictures []picture) (*writer, []picture) {
	w := &writer{}
	var items []item
	var top []ocispec.Descriptor
	for _, p := range pictures {
		config := w.blob(ocispec.MediaTypeImageConfig, p.config())
		it := item{Config: oci.BlobPath(config.Digest), RepoTags: p.names}
		var layers []ocispec.Descriptor
		for _, l := range p.layers {
			desc := w.blob(ocispec.MediaTypeImageLayerGzip, zipped(l))
			layers = append(layers, desc)
			it.Layers = append(it.Layers, oci.BlobPath(desc.Digest))
		}
		items = append(items, it)
		desc := w.manifest(config, layers)
		attested := desc
		if p.id == "1" {
			desc = w.attested(desc)
		}
		top = append(top, listed(desc, p.names)...)
		if r.IntN(3) == 0 {
			top = append(top, w.referrer(attested, p.id))
		}
	}
	if r.IntN(4) > 0 {
		w.json("manifest.json", items)
	}
	w.json(ocispec.ImageIndexFile, oci.NewIndex(top))
	w.add(ocispec.ImageLayoutFile, oci.LayoutFile)
	return w, pictures
}

// attested is an index of an image and BuildKit's attestation of it.
func (w *writer) attested(desc ocispec.Descriptor) ocispec.Descriptor {
	statement := w.blob("application/vnd.in-toto+json", []byte(`{"_type":"https://in-toto.io/Statement/v0.1"}`))
	attestation := w.manifest(w.blob(ocispec.MediaTypeImageConfig, []byte(`{"architecture":"unknown","os":"unknown","rootfs":{"type":"layers","diff_ids":["`+statement.Digest.String()+`"]}}`)), []ocispec.Descriptor{statement})
	attestation.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	attestation.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": desc.Digest.String()}
	desc.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	return w.blob(ocispec.MediaTypeImageIndex, encode(oci.NewIndex([]ocispec.Descriptor{desc, attestation})))
}

// referrer is an artifact that refers to an image.
func (w *writer) referrer(subject ocispec.Descriptor, note string) ocispec.Descriptor {
	empty := w.blob(ocispec.MediaTypeEmptyJSON, []byte("{}"))
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.example.sbom",
		Config: empty, Layers: []ocispec.Descriptor{empty}, Subject: &subject, Annotations: map[string]string{"note": note},
	}
	desc := w.blob(ocispec.MediaTypeImageManifest, encode(m))
	desc.ArtifactType = m.ArtifactType
	return desc
}

func zipped(data []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err := z.Write(data)
	must(err)
	must(z.Close())
	return out.Bytes()
}
