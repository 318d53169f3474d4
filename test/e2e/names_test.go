//go:build e2e

// Layouts that are written for others: other programs find each image in them by
// the name that it was saved under.

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestNamesInLayouts writes a layout of several images, as publish does and as
// pull does, and looks its images up by name.
func TestNamesInLayouts(t *testing.T) {
	for file, look := range map[string]func(t *testing.T, archive, dir string){
		"pair.docker20.tar": lookUp, "multi.docker20.tar": lookUp,
		// Whose own index.json names images by their tags alone.
		"platforms.buildkit.tar": lookUpFull, "small.docker28.tar": lookUpFull,
	} {
		path := archivePath(t, file)
		if _, err := os.Stat(path); err != nil {
			missing(t, file, "archive not there (hack/images.sh makes it)")
			continue
		}
		p := newProgram(t)
		work, err := os.MkdirTemp("", "names-") // podman makes a name of the path, which must be in lower case
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(work) })
		published, pulled := filepath.Join(work, "published"), filepath.Join(work, "pulled")
		if _, err := p.command().output(deadline(t), "publish", "-n", "-q", "-o", published, path); err != nil {
			t.Fatal(err)
		}
		lines, err := p.publish(deadline(t), path, false, "-r", "host:1")
		if err != nil {
			t.Fatal(err)
		}
		root := strings.Split(lines[0], "/")[1]
		if _, err := p.command().output(deadline(t), "pull", "-q", "--to", "oci:"+pulled, root); err != nil {
			t.Fatal(err)
		}
		for how, dir := range map[string]string{"published": published, "pulled": pulled} {
			t.Run(file+" "+how, func(t *testing.T) { look(t, path, dir) })
		}
	}
}

// lookUpFull finds the images of a layout by their full names less what people do
// not type of those.
func lookUpFull(t *testing.T, archive, dir string) {
	src, err := readSource(archive)
	if err != nil {
		t.Fatal(err)
	}
	var index document
	if err := json.Unmarshal(src["index.json"], &index); err != nil || len(index.Manifests) == 0 {
		t.Fatalf("index.json of %s: %d entries (%v)", archive, len(index.Manifests), err)
	}
	for _, entry := range index.Manifests {
		name, ok := strings.CutPrefix(entry.Annotations["io.containerd.image.name"], "docker.io/library/")
		if tag := entry.Annotations["org.opencontainers.image.ref.name"]; !ok || strings.Contains(tag, ":") {
			t.Fatalf("%s names an image %q and %q, want a full name and a tag alone", archive, name, tag)
		}
		if c := commandFor("skopeo"); c != nil {
			out, err := c.output(deadline(t), "inspect", "--raw", "oci:"+dir+":"+name)
			if err != nil || digestOf([]byte(out)) != entry.Digest {
				t.Errorf("skopeo finds under %s: %s (%v), want %s", name, out, err, entry.Digest)
			}
		}
		if c := commandFor("podman"); c != nil {
			if _, err := c.output(deadline(t), "pull", "--quiet", "oci:"+dir+":"+name); err != nil {
				t.Errorf("podman finds no %s: %v", name, err)
			}
			if _, err := c.output(deadline(t), "rmi", "--all", "--force"); err != nil {
				t.Error(err)
			}
		}
		if c := commandFor("regctl"); c != nil {
			_, tag, _ := strings.Cut(name, ":")
			out, err := c.output(deadline(t), "manifest", "get", "--format", "raw-body", "ocidir://"+dir+":"+tag)
			if err != nil || digestOf([]byte(out)) != entry.Digest {
				t.Errorf("regctl finds under %s: %s (%v), want %s", tag, out, err, entry.Digest)
			}
		}
	}
}

// lookUp finds every image of an archive in a layout, with each program in the
// way that its users would: by name, by tag where no two images share it, all of
// them at once.
func lookUp(t *testing.T, archive, dir string) {
	src, err := readSource(archive)
	if err != nil {
		t.Fatal(err)
	}
	names := savedNames(t, src)
	var tags []string
	for _, name := range names {
		_, tag, _ := strings.Cut(name, ":")
		tags = append(tags, tag)
	}
	for i, name := range names {
		want, err := src.find("/"+name, host)
		if err != nil {
			t.Fatal(err)
		}
		config := func(program string, out string, err error) {
			t.Helper()
			var m document
			if err != nil || json.Unmarshal([]byte(out), &m) != nil || m.Config.Digest != want.Config {
				t.Errorf("%s finds under %s: %s (%v), want config %s", program, name, out, err, want.Config)
			}
		}
		if c := commandFor("skopeo"); c != nil {
			out, err := c.output(deadline(t), "inspect", "--raw", "oci:"+dir+":"+name)
			config("skopeo", out, err)
		}
		if c := commandFor("podman"); c != nil {
			if _, err := c.output(deadline(t), "pull", "--quiet", "oci:"+dir+":"+name); err != nil {
				t.Errorf("podman finds no %s: %v", name, err)
			}
			if _, err := c.output(deadline(t), "rmi", "--all", "--force"); err != nil {
				t.Error(err)
			}
		}
		alone := slices.Index(tags, tags[i]) == i && !slices.Contains(tags[i+1:], tags[i])
		if c := commandFor("regctl"); c != nil && alone {
			out, err := c.output(deadline(t), "manifest", "get", "--format", "raw-body", "ocidir://"+dir+":"+tags[i])
			config("regctl", out, err)
		}
	}
	if c := commandFor("crane"); c != nil {
		to := startRegistry(t, c) + "/all:1"
		if _, err := c.output(deadline(t), "push", "--index", dir, to); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, "index.json"))
		if err != nil {
			t.Fatal(err)
		}
		if out, err := c.output(deadline(t), "digest", to); err != nil || out != digestOf(data) {
			t.Errorf("crane has pushed %s (%v), want %s", out, err, digestOf(data))
		}
	}
}

// savedNames are the tags in a docker archive.
func savedNames(t *testing.T, src source) (names []string) {
	t.Helper()
	var images []dockerImage
	if err := json.Unmarshal(src["manifest.json"], &images); err != nil {
		t.Fatal(err)
	}
	for _, i := range images {
		names = append(names, i.RepoTags...)
	}
	if len(names) < 2 {
		t.Fatalf("the archive has %v, want several", names)
	}
	return names
}
