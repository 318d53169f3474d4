package pull_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/publish"
	"github.com/image2ipfs/image2ipfs/pull"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/server"
	"github.com/image2ipfs/image2ipfs/test/forms"
	"github.com/image2ipfs/image2ipfs/test/saved"
)

// Whatever docker save writes or wrote, each line that publish prints is there once, is a
// name that engines take, and pulls its own image over HTTP, into a directory and into a
// docker archive; no image is without a line, and a name means the first image that has
// it. From a file, a pipe and a directory comes the same, as some of them are asked.
func TestLinesOfSavedArchives(t *testing.T) {
	store, err := packstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	s, err := server.New(server.Config{Local: store})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	hs := httptest.NewServer(s)
	defer hs.Close()
	eras := map[string]int{}
	for seed := range uint64(100) {
		a := saved.Random(rand.New(rand.NewPCG(seed, 11)))
		eras[a.Era]++
		c := savedCheck{t: t, forms: seed%4 == 0, store: store, host: strings.TrimPrefix(hs.URL, "http://"), saved: a, what: fmt.Sprintf("seed %d, %s", seed, a.Era)}
		c.check()
		if t.Failed() {
			t.Fatalf("%s: %s", c.what, c.describe())
		}
	}
	if len(eras) < 5 {
		t.Errorf("only of %v", eras)
	}
}

// savedCheck is one archive that is published, served and pulled.
type savedCheck struct {
	t     *testing.T
	store *packstore.Store
	forms bool // it is published from a pipe and a directory, too
	host  string
	saved saved.Archive
	what  string
}

// describe lists the images of the archive, for a failure.
func (c savedCheck) describe() string {
	var out strings.Builder
	for _, image := range c.saved.Images {
		fmt.Fprintf(&out, "\n  image %s, %d layers: %q", image.ID, len(image.DiffIDs), image.Names)
	}
	return out.String()
}

func (c savedCheck) check() {
	r := c.publish()
	l, err := layout.Open(c.t.Context(), c.store, r.Root)
	if err != nil {
		c.t.Fatalf("%s: %v", c.what, err)
	}
	lines, err := l.Lines(c.t.Context())
	if err != nil || len(lines) != len(r.Images) {
		c.t.Fatalf("%s: %d lines of the layout, %d were printed, %v", c.what, len(lines), len(r.Images), err)
	}
	printed, pulled := map[string]bool{}, map[string]bool{}
	for i := range r.Images {
		line := r.PullName(i, c.host)
		if printed[line] {
			c.t.Errorf("%s: the line %s is there twice", c.what, line)
		}
		printed[line] = true
		id := c.pull(line, r.Images[i].Manifest.Digest)
		pulled[id] = true
		c.meant(line, lines[i].Name, id)
		checkTargets(c.t, l, lines[i], c.what+", line "+line)
		c.archived(l, lines[i], id)
	}
	for _, image := range c.saved.Images {
		if !pulled[image.ID] {
			c.t.Errorf("%s: no line pulls image %s %q", c.what, image.ID, image.Names)
		}
	}
}

// publish publishes the archive from a file, a pipe and a directory.
func (c savedCheck) publish() (r *publish.Result) {
	dir := c.t.TempDir()
	file := filepath.Join(dir, "saved.tar")
	if err := os.WriteFile(file, c.saved.Tar, 0o600); err != nil {
		c.t.Fatal(err)
	}
	all, err := forms.Plain(file, dir)
	if err != nil {
		c.t.Fatal(err)
	}
	if !c.forms {
		all = all[:1]
	}
	for _, form := range all {
		err := form.Use(func(a *archive.Archive) error {
			got, err := publish.Publish(c.t.Context(), a, c.store, publish.Options{})
			if err == nil && r != nil && !got.Root.Equals(r.Root) {
				c.t.Errorf("%s: %s has root %s, %s %s", c.what, form.Name, got.Root, all[0].Name, r.Root)
			}
			if r == nil {
				r = got
			}
			return err
		})
		if err != nil {
			c.t.Fatalf("%s: %s: %v%s", c.what, form.Name, err, c.describe())
		}
	}
	return r
}

// pull asks for a line as an engine does, all of it, and gives the image's id.
func (c savedCheck) pull(line string, want digest.Digest) (id string) {
	name, err := reference.ParseNormalizedNamed(line)
	if err != nil {
		c.t.Fatalf("%s: %s is no name: %v", c.what, line, err)
	}
	by := oci.DefaultTag
	if digested, ok := name.(reference.Digested); ok {
		by = digested.Digest().String()
	} else if tagged, ok := name.(reference.Tagged); ok {
		by = tagged.Tag()
	}
	ask := func(what string) ([]byte, http.Header) {
		resp, err := http.Get("http://" + c.host + "/v2/" + reference.Path(name) + "/" + what)
		if err != nil {
			c.t.Fatal(err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			c.t.Fatalf("%s: %s, %s: %s, %v: %s", c.what, line, what, resp.Status, err, data)
		}
		return data, resp.Header
	}
	manifest, header := ask("manifests/" + by)
	if got := digest.FromBytes(manifest); got != want || header.Get("Docker-Content-Digest") != want.String() {
		c.t.Errorf("%s: %s gives %s, said to be %s, want %s", c.what, line, got, header.Get("Docker-Content-Digest"), want)
	}
	if index, err := oci.ParseIndex(manifest); err == nil && len(index.Manifests) > 0 {
		manifest, _ = ask("manifests/" + index.Manifests[0].Digest.String())
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil {
		c.t.Fatal(err)
	}
	config, _ := ask("blobs/" + m.Config.Digest.String())
	for _, l := range m.Layers {
		if data, _ := ask("blobs/" + l.Digest.String()); digest.FromBytes(data) != l.Digest {
			c.t.Errorf("%s: %s: a layer of other bytes", c.what, line)
		}
	}
	return c.identify(line, config)
}

// identify tells by a config which image of the archive it is, and compares its layers.
func (c savedCheck) identify(line string, config []byte) (id string) {
	var image ocispec.Image
	if err := json.Unmarshal(config, &image); err != nil {
		c.t.Fatal(err)
	}
	id = image.Config.Labels[saved.Label]
	at := slices.IndexFunc(c.saved.Images, func(i saved.Image) bool { return i.ID == id })
	if at < 0 || !slices.Equal(c.saved.Images[at].DiffIDs, image.RootFS.DiffIDs) {
		c.t.Errorf("%s: %s is image %q with layers %v", c.what, line, id, image.RootFS.DiffIDs)
	}
	return id
}

// meant fails unless an image is the first of the archive that has the name, as people
// write it, of a line.
func (c savedCheck) meant(line, name, id string) {
	if familiar(name) == "" || !strings.Contains(name, ":") {
		return // it has none, or a tag alone
	}
	for _, image := range c.saved.Images {
		for _, n := range image.Names {
			if familiar(n) != familiar(name) {
				continue
			}
			if image.ID != id {
				c.t.Errorf("%s: %s is image %s, but %s is the first that is called %s", c.what, line, id, image.ID, n)
			}
			return
		}
	}
	c.t.Errorf("%s: %s: no image of the archive is called %s", c.what, line, name)
}

// familiar is a name without host, digest and the library of images, with a tag; "" for
// what is no name of an image.
func familiar(s string) string {
	name, err := reference.ParseNormalizedNamed(s)
	if err != nil || s[0] == '<' || strings.HasPrefix(s, "sha256:1f") { // the last is an ID
		return ""
	}
	tag := oci.DefaultTag
	if tagged, ok := name.(reference.Tagged); ok {
		tag = tagged.Tag()
	} else if _, ok := name.(reference.Digested); ok {
		tag = "" // a name by digest alone has none
	}
	path := reference.Path(name)
	if parts := strings.Split(path, "/"); len(parts) == 2 && parts[0] == "library" {
		path = parts[1]
	}
	return path + ":" + tag
}

// archived publishes once more what a line leaves in a docker archive: it has to be the
// same image.
func (c savedCheck) archived(l *layout.Layout, line layout.Line, id string) {
	image, err := pull.Select(c.t.Context(), l, line.Pull, platforms.Only(platforms.MustParse("linux/amd64")))
	if err != nil {
		c.t.Fatalf("%s: %s: %v", c.what, line.Pull, err)
	}
	var out bytes.Buffer
	if err := image.ToTar(c.t.Context(), &out, pull.Progress{}); err != nil {
		c.t.Fatalf("%s: %v", c.what, err)
	}
	entries := tarEntries(c.t, &out)
	var items []struct{ Config string }
	if err := json.Unmarshal(entries["manifest.json"], &items); err != nil || len(items) != 1 {
		c.t.Fatalf("%s: manifest.json %s, %v", c.what, entries["manifest.json"], err)
	}
	if got := c.identify("the docker archive of "+line.Pull.String(), entries[items[0].Config]); got != id {
		c.t.Errorf("%s: the docker archive of %s has image %s, want %s; it has %v", c.what, line.Pull, got, id, slices.Collect(maps.Keys(entries)))
	}
}

func tarEntries(t *testing.T, in io.Reader) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for r := tar.NewReader(in); ; {
		h, err := r.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if all[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}
