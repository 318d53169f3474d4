//go:build e2e

// Independent readers of the layouts that we write and serve: each checks what
// it reads in its own way, down to the diff_ids.

package e2e

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// readerArchives are of every era and form, and of every form of layers.
var readerArchives = []archive{
	{file: "small.docker20.tar"}, {file: "small.docker28.tar"}, {file: "small.docker28classic.tar"}, {file: "small.containerd.tar"},
	{file: "small.podman-oci.tar"}, {file: "small.skopeo"}, {file: "small.skopeo-zstd"}, {file: "platforms.buildkit.tar"},
	{file: "multi.docker20.tar"}, {file: "plain.crane.tar"},
	{file: "small.docker20.tar", args: lazily}, {file: "small.docker20.tar", args: inChunks},
}

// TestReaders gives what publish writes to a directory, and what serve answers,
// to other programs: a mistake that our own code makes on both sides shows here.
func TestReaders(t *testing.T) {
	addr := freeAddr(t)
	p := newProgram(t)
	p.serve(t, addr)
	for _, a := range readerArchives {
		t.Run(a.title(), func(t *testing.T) {
			path := archivePath(t, a.file)
			if _, err := os.Stat(path); err != nil {
				missing(t, a.file, "archive not there (hack/images.sh makes it)")
				return
			}
			dir := filepath.Join(t.TempDir(), "layout")
			if _, err := p.publish(deadline(t), path, false, append([]string{"-n", "-q", "-o", dir}, a.args...)...); err != nil {
				t.Fatal(err)
			}
			names, err := p.publish(deadline(t), path, false, append([]string{"-r", addr}, a.args...)...)
			if err != nil {
				t.Fatal(err)
			}
			r := reading{file: a.title(), dir: dir, names: names}
			t.Run("crane", r.crane)
			t.Run("regctl", r.regctl)
			t.Run("skopeo", r.skopeo)
			for _, engine := range []string{"containerd16", "containerd2"} {
				t.Run(engine, func(t *testing.T) { r.containerd(t, engine) })
			}
			t.Run("umoci", r.umoci)
			t.Run("BuildKit", r.buildkit)
		})
	}
}

// cannot says which reader cannot read which archive, and why.
var cannot = map[string]string{
	"crane small.skopeo-zstd":      "crane validates gzip layers only",
	"crane small.containerd.tar":   "crane validates gzip layers only",
	"umoci small.skopeo-zstd":      "umoci unpacks gzip layers and tars only",
	"umoci small.containerd.tar":   "umoci reads OCI manifests only",
	"umoci small.docker28.tar":     "umoci reads no nested indices",
	"umoci platforms.buildkit.tar": "umoci reads no nested indices",
	"umoci plain.crane.tar":        "crane leaves the platform out of its configs, umoci insists on it",

	"crane small.docker20.tar --compression zstd:chunked": "crane validates gzip layers only",
	"umoci small.docker20.tar --compression zstd:chunked": "umoci reads no nested indices",
}

// leaves tells whether a reader does not read this archive.
func (r reading) leaves(reader string) bool {
	why := cannot[reader+" "+r.file]
	if why != "" {
		results.leaveOut(r.file+" by "+reader, why)
	}
	return why != ""
}

// reading is one layout for the readers.
type reading struct {
	file  string // as it is called, with the arguments it was published with
	dir   string
	names []string // under which it is served
}

// crane validates the served image: sizes, digests, diff_ids.
func (r reading) crane(t *testing.T) {
	crane := commandFor("crane")
	if crane == nil {
		missing(t, "crane", "not there (hack/engines.sh tools)")
		return
	}
	if r.leaves("crane") {
		return
	}
	for _, name := range r.names {
		// With a platform, since crane takes attestations for broken images.
		out, err := crane.output(deadline(t), "validate", "--platform", "linux/"+runtime.GOARCH, "--remote", name)
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
}

// regctl copies the served image, with all platforms and referrers, and the
// directory; both times it checks every digest and size.
func (r reading) regctl(t *testing.T) {
	regctl := commandFor("regctl")
	if regctl == nil {
		missing(t, "regctl", "not there (hack/engines.sh tools)")
		return
	}
	for _, name := range r.names {
		host, _, _ := strings.Cut(name, "/")
		to := "ocidir://" + t.TempDir() + ":copy"
		if _, err := regctl.output(deadline(t), "--host", "reg="+host+",tls=disabled", "image", "copy", "--referrers", "--digest-tags", name, to); err != nil {
			t.Error(err)
			continue
		}
		served, err := regctl.output(deadline(t), "--host", "reg="+host+",tls=disabled", "manifest", "head", name)
		if copied, copyErr := regctl.output(deadline(t), "manifest", "head", to); err != nil || copyErr != nil || served != copied || served == "" {
			t.Errorf("%s is %q (%v), its copy %q (%v)", name, served, err, copied, copyErr)
		}
	}
	var index struct{ Manifests []struct{ Digest string } }
	data, err := os.ReadFile(filepath.Join(r.dir, "index.json"))
	if err == nil {
		err = json.Unmarshal(data, &index)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range index.Manifests {
		if _, err := regctl.output(deadline(t), "image", "copy", "ocidir://"+r.dir+"@"+m.Digest, "ocidir://"+t.TempDir()+":copy"); err != nil {
			t.Error(err)
		}
	}
}

// skopeo inspects the directory and copies it, which checks every digest.
func (r reading) skopeo(t *testing.T) {
	skopeo := commandFor("skopeo")
	if skopeo == nil {
		missing(t, "skopeo", "not there")
		return
	}
	args := []string{"copy", "--quiet", "--all", "--preserve-digests", "oci:" + r.dir, "dir:" + t.TempDir()}
	if strings.HasPrefix(r.file, "multi") { // skopeo takes one of them, by its name
		args[len(args)-2] += ":second:2"
	} else if out, err := skopeo.output(deadline(t), "inspect", "oci:"+r.dir); err != nil || !strings.Contains(out, `"Layers"`) {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := skopeo.output(deadline(t), args...); err != nil {
		t.Error(err)
	}
}

// umoci unpacks the directory into a root file system.
func (r reading) umoci(t *testing.T) {
	if _, err := exec.LookPath("umoci"); err != nil {
		missing(t, "umoci", "not there (apt-get install umoci)")
		return
	}
	if r.leaves("umoci") {
		return
	}
	r.nameFirst(t, "readers")
	bundle := filepath.Join(t.TempDir(), "bundle")
	if _, err := (command{"umoci"}).output(deadline(t), "unpack", "--image", r.dir+":readers", bundle); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(bundle, "rootfs", "etc", "message"))
	if strings.TrimSpace(string(got)) != "small" || err != nil {
		t.Errorf("/etc/message is %q (%v), want small", got, err)
	}
}

// buildkit begins an image with the served one, and gives its files: for that it
// unpacks the layers.
func (r reading) buildkit(t *testing.T) {
	docker := commandFor("dockerd28")
	if docker == nil {
		missing(t, "BuildKit", "dockerd28 does not run")
		return
	}
	var files bytes.Buffer
	err := docker.pipe(deadline(t), strings.NewReader("FROM "+r.names[0]+"\n"), &files, "buildx", "build", "--quiet", "--no-cache", "--pull", "-o", "type=tar,dest=-", "-")
	if err != nil {
		t.Fatal(err)
	}
	name := "/" + strings.SplitN(r.names[0], "/", 3)[2]
	if got, err := fileInTar(&files, "/etc/message"); err != nil || got != message(name) {
		t.Errorf("/etc/message is %q (%v), want %q", got, err, message(name))
	}
}

// nameFirst leaves one image in index.json, small or the first, under a name that umoci can be
// given: it takes no colons.
func (r reading) nameFirst(t *testing.T, name string) {
	t.Helper()
	file := filepath.Join(r.dir, "index.json")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var index struct {
		SchemaVersion int              `json:"schemaVersion"`
		Manifests     []map[string]any `json:"manifests"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		t.Fatal(err)
	}
	// docker save has no order of its own: of several the one that is called small.
	small := slices.IndexFunc(index.Manifests, func(m map[string]any) bool {
		annotations, _ := m["annotations"].(map[string]any)
		name, _ := annotations["org.opencontainers.image.ref.name"].(string)
		return strings.HasPrefix(name, "small:")
	})
	index.Manifests = index.Manifests[max(0, small):][:1]
	index.Manifests[0]["annotations"] = map[string]string{"org.opencontainers.image.ref.name": name}
	if data, err = json.Marshal(index); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// containerd imports the directory as a tar.
func (r reading) containerd(t *testing.T, engine string) {
	c := commandFor(engine)
	if c == nil {
		missing(t, engine, "does not run")
		return
	}
	layout, w := io.Pipe()
	go func() {
		tw := tar.NewWriter(w)
		err := tw.AddFS(os.DirFS(r.dir))
		if err == nil {
			err = tw.Close()
		}
		w.CloseWithError(err)
	}()
	base := "readers.test/" + strings.NewReplacer(".", "-", ":", "-", " ", "-").Replace(r.file)
	var out strings.Builder
	err := c.pipe(deadline(t), layout, &out, "images", "import", "--no-unpack", "--all-platforms", "--digests", "--base-name", base, "-")
	if err != nil {
		t.Fatal(err)
	}
	check, err := c.output(deadline(t), "images", "check", "name~="+base)
	if err != nil || !strings.Contains(check, "complete") || strings.Contains(check, "incomplete") && r.file != "small.containerd.tar" {
		t.Errorf("%v: %s\n%s", err, check, out.String())
	}
	images, err := c.output(deadline(t), "images", "ls", "-q", "name~="+base)
	if err != nil || images == "" {
		t.Fatalf("%v: nothing was imported: %s", err, out.String())
	}
	if _, err := c.output(deadline(t), append([]string{"images", "rm", "--sync"}, strings.Fields(images)...)...); err != nil {
		t.Error(err)
	}
}
