// Package saved makes archives as docker save and its kin write and wrote them, of images
// and names at random, for tests.
package saved

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Archive is an archive and what is in it.
type Archive struct {
	Era    string  // who would have written it
	Tar    []byte  // the archive, not compressed
	Images []Image // in the order in which the archive lists them
}

// Image is an image that an archive lists.
type Image struct {
	ID      string          // the label [Label] of its config; equal for what is listed twice
	Names   []string        // "host/repository:tag" and what else stands in their place; may be empty
	DiffIDs []digest.Digest // of its layers
}

// Label is the label of configs that tells images apart.
const Label = "image"

// picture is an image before it is written.
type picture struct {
	id     string
	layers [][]byte
	names  []string
}

func (p picture) image() Image {
	image := Image{ID: p.id, Names: p.names}
	for _, l := range p.layers {
		image.DiffIDs = append(image.DiffIDs, digest.FromBytes(l))
	}
	return image
}

func (p picture) config() []byte {
	c := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: p.image().DiffIDs}}
	c.Config.Labels = map[string]string{Label: p.id}
	return encode(c)
}

// Random makes an archive of up to five images of small layers, some of them shared, some
// images listed twice, in the way of one of the eras. It is the same for the same r.
func Random(r *rand.Rand) Archive {
	eras := []struct {
		name  string
		write func(*rand.Rand, []picture) (*writer, []picture)
	}{
		{"Docker 1.9", legacy},
		{"Docker 24", classic},
		{"podman", podman},
		{"Docker 25 and later", classicLayout},
		{"Docker with containerd's store", containerd},
	}
	era := eras[r.IntN(len(eras))]
	w, pictures := era.write(r, randomPictures(r))
	a := Archive{Era: era.name, Tar: w.tar(r)}
	for _, p := range pictures {
		a.Images = append(a.Images, p.image())
	}
	return a
}

func randomPictures(r *rand.Rand) []picture {
	var made []picture
	for i := range 1 + r.IntN(4) {
		p := picture{id: fmt.Sprint(i)}
		if i > 0 && r.IntN(5) == 0 { // another's, once more
			p = picture{id: made[i-1].id, layers: made[i-1].layers}
		} else {
			for range 1 + r.IntN(3) {
				p.layers = append(p.layers, layer(r.IntN(5)))
			}
		}
		for range r.IntN(4) {
			p.names = append(p.names, randomName(r))
		}
		made = append(made, p)
	}
	if r.IntN(4) == 0 { // the same names on other hosts
		last := picture{id: "mirrored", layers: [][]byte{layer(r.IntN(5))}}
		for _, name := range made[0].names {
			last.names = append(last.names, "mirror.example:5000/"+name[strings.LastIndex(name, "/")+1:])
		}
		made = append(made, last)
	}
	return made
}

// randomName is a name as engines have them, that of something else, or none that is valid.
func randomName(r *rand.Rand) string {
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	digested := "@" + digest.FromString(pick("one", "two")).String()
	if r.IntN(12) == 0 {
		return pick("sha256:1f1f1f1f1f1f", digested[1:], "<none>:<none>", "Team/App:1", "app:", ":1", "app:1 ")
	}
	host := pick("", "", "a.example/", "b.example:5000/", "localhost/", "docker.io/library/")
	repository := pick("app", "app", "team/app", "library/app", "latest", "image", "sha256", "a-b_c/d.e__f")
	return host + repository + pick(":1", ":1", ":latest", ":V1", ":v1", ":1.2-rc.3_x", "", digested, ":1"+digested)
}

// layer is a tar of a few files, other for each n.
func layer(n int) []byte {
	w := &writer{}
	w.add(fmt.Sprintf("etc/layer%d", n), bytes.Repeat(fmt.Appendf(nil, "layer %d\n", n), 300))
	return w.tar(nil)
}

// writer collects the entries of a tar.
type writer struct{ headers []entry }

type entry struct {
	tar.Header
	data []byte
}

// add adds a file, unless it is there.
func (w *writer) add(name string, data []byte) {
	if !slices.ContainsFunc(w.headers, func(e entry) bool { return e.Name == name }) {
		w.headers = append(w.headers, entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(data))}, data})
	}
}

func (w *writer) json(name string, v any) { w.add(name, encode(v)) }

// link adds a symbolic link, unless there is something of that name.
func (w *writer) link(name, to string) {
	w.add(name, nil)
	if e := &w.headers[len(w.headers)-1]; e.Name == name && e.Size == 0 {
		e.Typeflag, e.Linkname = tar.TypeSymlink, to
	}
}

// tar gives the archive, in the order in which the entries were added, or, with r, in
// any other sometimes.
func (w *writer) tar(r *rand.Rand) []byte {
	if r != nil && r.IntN(2) == 0 {
		r.Shuffle(len(w.headers), func(i, j int) { w.headers[i], w.headers[j] = w.headers[j], w.headers[i] })
	}
	var out bytes.Buffer
	to := tar.NewWriter(&out)
	for _, e := range w.headers {
		e.Mode, e.ModTime = 0o644, time.Unix(1, 0)
		must(to.WriteHeader(&e.Header))
		_, err := to.Write(e.data)
		must(err)
	}
	must(to.Close())
	return out.Bytes()
}

func encode(v any) []byte {
	data, err := json.Marshal(v)
	must(err)
	return data
}

func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("making a saved archive: %v", err))
	}
}
