package publish

import (
	"archive/tar"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/dockerarchive"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/test/forms"
)

// plainForms are the forms that are not compressed of an archive with entries that only some
// can have: a directory has neither devices nor hard links to nothing.
func plainForms(t *testing.T, f files) []forms.Form {
	t.Helper()
	path := f.write(t)
	all := []forms.Form{{Name: forms.File, Path: path}, {Name: "pipe", Path: path, Pipe: true}}
	onlyTar := func(e entry) bool { return e.kind == tar.TypeLink || e.kind == tar.TypeChar }
	if !slices.ContainsFunc(f, onlyTar) {
		all = append(all, forms.Form{Name: forms.Directory, Path: f.unpack(t)})
	}
	return all
}

// strays are entries that lead nowhere, each with what is said of it when it is needed;
// the first has the name that is asked for.
func strays(name string) map[string]struct {
	f    files
	says []string
} {
	symlink := func(name, to string) entry { return entry{name: name, link: to} }
	up := strings.Repeat("../", strings.Count(name, "/"))
	type stray = struct {
		f    files
		says []string
	}
	return map[string]stray{
		"absolute link":          {files{symlink(name, "/etc/passwd")}, []string{name, `the absolute path "/etc/passwd"`}},
		"link out":               {files{symlink(name, up+"../x")}, []string{name, `"` + up + `../x"`, "outside the archive"}},
		"hard link out":          {files{{name: name, link: "../x", kind: tar.TypeLink}}, []string{name, `"../x"`, "outside the archive"}},
		"link to a link out":     {files{symlink(name, up+"y"), symlink("y", "../x")}, []string{"link " + name + " -> y: ", `link y leads to "../x"`}},
		"link to nothing":        {files{symlink(name, up+"y"), symlink("y", "z")}, []string{"link " + name + " -> y -> z leads to z, which is missing from the archive"}},
		"hard link to nothing":   {files{{name: name, link: "z", kind: tar.TypeLink}}, []string{"link " + name + " -> z leads to z, which is missing"}},
		"link to a directory":    {files{symlink(name, up+"dir")}.add("dir/file", []byte("x")), []string{"link " + name + " -> dir leads to a directory"}},
		"circle":                 {files{symlink(name, up+"y"), symlink("y", name)}, []string{"link circle " + name + " -> y -> " + name}},
		"link to itself":         {files{symlink(name, up+name)}, []string{"link circle " + name + " -> " + name}},
		"circle behind a link":   {files{symlink(name, up+"x"), symlink("x", "y"), symlink("y", "x")}, []string{"link circle " + name + " -> x -> y -> x"}},
		"named pipe":             {files{{name: name, kind: tar.TypeFifo}}, []string{"entry " + name + " is a named pipe: expected a file"}},
		"device":                 {files{{name: name, kind: tar.TypeChar}}, []string{"entry " + name + " is a device: expected a file"}},
		"link to a named pipe":   {files{symlink(name, up+"p"), {name: "p", kind: tar.TypeFifo}}, []string{"link " + name + " -> p: ", "entry p is a named pipe"}},
		"link into a link out":   {files{symlink(name, up+"d/x"), symlink("d", "/lib")}, []string{"link " + name + " -> d/x: ", `the absolute path "/lib"`}},
		"a link that ever grows": {files{symlink(name, up+"d/x"), symlink("d", "d/d")}, []string{"links lead over more than 40 others: " + name + " -> d/x -> d/d/x -> ", "…"}},
	}
}

// What nobody needs is in nobody's way, wherever it leads, before and behind all else.
func TestStraysThatNobodyNeeds(t *testing.T) {
	for base, f := range map[string]files{"docker 20": docker20(), "docker 28": docker28(), "layout": layout()} {
		want := outcome(t, plainForms(t, f)[0], Options{})
		if strings.Contains(want, " ") {
			t.Fatal(want)
		}
		unneeded := oci.BlobPath(digest.FromString("nobody asks for it"))
		names := []string{"extra", "a/b/extra", unneeded}
		for i, what := range slices.Sorted(maps.Keys(strays(""))) {
			name := names[i%len(names)]
			stray := strays(name)[what]
			all := slices.Concat(stray.f, f)
			if i%2 == 0 {
				all = slices.Concat(f, stray.f)
			}
			for _, form := range plainForms(t, all) {
				if got := outcome(t, form, Options{}); got != want {
					t.Errorf("%s, %s %s, %s: %s, want %s", base, what, name, form.Name, got, want)
				}
			}
		}
	}
}

// What somebody needs is refused with its name and all links on the way, alike from a
// file, a pipe and a directory.
func TestStraysThatAreNeeded(t *testing.T) {
	one := layerTar(1)
	blob := oci.BlobPath(digest.FromBytes(one))
	for base, test := range map[string]struct {
		f    files
		name string
	}{
		"layer":         {docker20(), "bb/layer.tar"},
		"config":        {docker20(), "cfg.json"},
		"manifest.json": {docker20().without("repositories"), "manifest.json"},
		"index.json":    {layout(), "index.json"},
		"blob":          {layout(), blob},
		"layer in blobs": {files{}.add("cfg.json", configOf(one)).add(blob, one).
			json("manifest.json", []manifestItem{{Config: "cfg.json", RepoTags: []string{"app:1"}, Layers: []string{blob}}}), blob},
	} {
		for what, stray := range strays(test.name) {
			all := plainForms(t, append(test.f.without(test.name), stray.f...))
			want := outcome(t, all[0], Options{})
			for _, form := range all {
				got := outcome(t, form, Options{})
				if got != want || !strings.Contains(got, "true") {
					t.Errorf("%s, %s, %s: %s; from a file %s", base, what, form.Name, got, want)
				}
				for _, word := range stray.says {
					if !strings.Contains(got, word) {
						t.Errorf("%s, %s, %s: %s does not say %q", base, what, form.Name, got, word)
					}
				}
			}
		}
	}
}

// Where the directory of all blobs is a link that leads nowhere, that is said.
func TestStrayDirectories(t *testing.T) {
	for _, dir := range []string{ocispec.ImageBlobsDir, ocispec.ImageBlobsDir + "/sha256"} {
		f := slices.DeleteFunc(layout(), func(e entry) bool { return strings.HasPrefix(e.name, dir) })
		for what, stray := range strays(dir) {
			if strings.HasPrefix(what, "hard link") || strings.HasSuffix(what, "a directory") {
				continue
			}
			for _, form := range plainForms(t, append(f, stray.f...)) {
				got := outcome(t, form, Options{})
				for _, word := range append(stray.says, "manifest sha256:") {
					if !strings.Contains(got, word) {
						t.Errorf("%s, %s, %s: %s does not say %q", dir, what, form.Name, got, word)
					}
				}
			}
		}
	}
}

// A child of an index whose blob is a link to nothing is not there, as one without a blob.
func TestLinkToNothingInSparseIndex(t *testing.T) {
	absent := oci.BlobPath(digest.FromString("elsewhere"))
	f := layout().append(entry{name: absent, link: "../../gone"})
	want := outcome(t, plainForms(t, layout())[0], Options{})
	for _, form := range plainForms(t, f) {
		if got := outcome(t, form, Options{}); got != want {
			t.Errorf("%s: %s, want %s", form.Name, got, want)
		}
	}
}

// An entry that comes twice, as a file, a link or both, is one where the bytes are the
// same, and is refused where they are others, whatever the archive comes from.
func TestEntryTwiceInEveryWay(t *testing.T) {
	config := []byte("[not JSON]" + strings.Repeat(" ", 600)) // nor a layer: bytes that nothing else needs
	other := slices.Concat(config[:len(config)-1], []byte("x"))
	long := layerTar(1)
	for _, test := range []struct {
		what  string
		name  string
		bytes []byte
		other []byte
		base  files // without the entry
	}{
		{"config", "cfg.json", configOf(layerTar(1), layerTar(2), layerTar(1)), configOf(layerTar(3), layerTar(2), layerTar(1)), docker20().without("cfg.json")},
		{"layer", "bb/layer.tar", layerTar(2), layerTar(3), docker20().without("bb/layer.tar")},
		{"no JSON", "aa/VERSION", config, other, docker20().without("aa/VERSION")},
		{"blob", oci.BlobPath(digest.FromBytes(long)), long, layerTar(3), layout().without(oci.BlobPath(digest.FromBytes(long)))},
		{"SHA-512", oci.BlobPath(digest.SHA512.FromBytes(long)), long, layerTar(3), blobsOf()["sha-512"].without(oci.BlobPath(digest.SHA512.FromBytes(long)))},
	} {
		file := entry{name: test.name, data: test.bytes}
		to := "stray.bin"
		link := entry{name: test.name, link: strings.Repeat("../", strings.Count(test.name, "/")) + to}
		hard := entry{name: test.name, link: to, kind: tar.TypeLink}
		want := outcome(t, plainForms(t, test.base.append(file))[0], Options{})
		if strings.Contains(want, " ") {
			t.Fatal(test.what, want)
		}
		for how, pair := range map[string][2]entry{"file, link": {file, link}, "link, file": {link, file}, "file, hard link": {file, hard}, "link, hard link": {link, hard}, "file, file": {file, file}} {
			for isSame, bytes := range map[bool][]byte{true: test.bytes, false: test.other} {
				second := pair
				for i := range second {
					if !isSame && i == 1 && second[i].link == "" {
						second[i].data = bytes
					}
				}
				linked := bytes
				if how == "link, file" {
					linked = test.bytes
				}
				f := test.base.append(second[0]).append(second[1]).add(to, linked)
				if how == "link, hard link" && !isSame {
					continue // both lead to one file
				}
				path := f.write(t)
				for _, form := range []forms.Form{{Name: forms.File, Path: path}, {Name: "pipe", Path: path, Pipe: true}} {
					got := outcome(t, form, Options{})
					switch {
					case (isSame || test.what == "no JSON") && got != want: // which nobody needs
						t.Errorf("%s, %s, %s: %s, want %s", test.what, how, form.Name, got, want)
					case !isSame && test.what != "no JSON" && (!strings.Contains(got, "occurs twice with different bytes") || !strings.Contains(got, test.name)):
						t.Errorf("%s, %s with other bytes, %s: %s", test.what, how, form.Name, got)
					}
				}
			}
		}
	}
}

// A name on the way of links that means two things is refused as one at their end is.
func TestEntryTwiceOnTheWay(t *testing.T) {
	f := docker20().without("bb/layer.tar").append(entry{name: "bb/layer.tar", link: "../x"}).append(entry{name: "x", link: "y"}).
		add("y", layerTar(2)).add("x", layerTar(3))
	refusedBy(t, "on the way", f.tar(), "entry x occurs twice")
	twice := docker20().append(entry{name: "cfg.json", kind: tar.TypeFifo})
	refusedBy(t, "a file, then a named pipe", twice.tar(), "entry cfg.json occurs twice: ", "is a named pipe")
}

// Errors of strays are those of archives.
func TestStrayErrors(t *testing.T) {
	for what, stray := range strays("cfg.json") {
		_, err := publishPath(t, newStore(t), append(docker20().without("cfg.json"), stray.f...).write(t))
		if !errors.Is(err, archive.ErrFormat) && !errors.Is(err, dockerarchive.ErrMissing) {
			t.Errorf("%s: %v", what, fmt.Sprint(err))
		}
	}
}

// A manifest.json without anything in it is in no way of the repositories file that tells
// the images; one that is damaged is, and is told of.
func TestManifestBesideRepositories(t *testing.T) {
	chain := dockerSeeds()["chain with repositories"]
	want := outcome(t, plainForms(t, chain)[0], Options{})
	if strings.Contains(want, " ") {
		t.Fatal(want)
	}
	blank := strings.Repeat("\n ", 100)
	for content, says := range map[string]string{
		"": "", "null": "", blank: "", blank + "null\n": "", "[]": "", "{}": "", "[null]": "",
		"[{":                                  "manifest.json of 2 bytes: ",
		`[{"Config":"x","Layers":["y"]}]`:     "entry x: missing",
		`[{"Config":7,"Layers":[]}]`:          "expected a string, found ",
		"manifest":                            `expected a JSON file of at most 4 MiB, found something that begins with "manifest"`,
		`"manifest"`:                          "expected a JSON file of at most 4 MiB",
		"nullify":                             "expected a JSON file of at most 4 MiB",
		strings.Repeat(" ", 600) + "manifest": "expected a JSON file of at most 4 MiB",
	} {
		for _, form := range plainForms(t, chain.add("manifest.json", []byte(content))) {
			got := outcome(t, form, Options{})
			if says == "" && got != want || says != "" && (!strings.Contains(got, "manifest.json") || !strings.Contains(got, says)) {
				t.Errorf("%q, %s: %s, want %s", content, form.Name, got, want+says)
			}
		}
	}
	for _, form := range plainForms(t, docker20().without("repositories").replace("manifest.json", nil)) {
		if got := outcome(t, form, Options{}); !strings.Contains(got, "manifest.json is empty, and there is no repositories file") {
			t.Errorf("alone, %s: %s", form.Name, got)
		}
	}
}
