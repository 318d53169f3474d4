package publish

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/dockerarchive"
	"github.com/image2ipfs/image2ipfs/registry/registrytest"
	"github.com/image2ipfs/image2ipfs/test/forms"
)

// outcome is the root that a form is published under, or the kind of the error and
// what it says.
func outcome(t *testing.T, f forms.Form, o Options) string {
	t.Helper()
	var root string
	err := f.Use(func(a *archive.Archive) error {
		r, err := ToDirectory(t.Context(), a, filepath.Join(t.TempDir(), "out"), o)
		if err == nil {
			root = r.Root.String()
		}
		return err
	})
	if err == nil {
		return root
	}
	return fmt.Sprint(errors.Is(err, archive.ErrFormat), errors.Is(err, dockerarchive.ErrInvalid), errors.Is(err, dockerarchive.ErrMissing), errors.Is(err, ErrArchive), ": ", err)
}

// dockerSeeds are the archives that package dockerarchive's parsers are tried with.
func dockerSeeds() map[string]files {
	one := layerTar(1)
	config := configOf(one)
	old := func(id, parent string) []byte {
		return fmt.Appendf(nil, `{"id":%q,"parent":%q,"created":"2020-01-01T00:00:00Z"}`, id, parent)
	}
	chain := files{}.add("a/VERSION", []byte("1.0")).add("a/json", old("a", "b")).add("a/layer.tar", one).
		add("b/json", old("b", "")).add("b/layer.tar", layerTar(2))
	circle := files{}.add("a/json", old("a", "a")).add("a/layer.tar", one)
	listed := func(manifest string) files {
		return files{}.add("a/layer.tar", one).add("config", config).add("manifest.json", []byte(manifest))
	}
	return map[string]files{
		"saved":                       listed(`[{"Config":"config","RepoTags":["a:1"],"Layers":["a/layer.tar"]}]`),
		"saved, sources, no tags":     listed(`[{"Config":"config","RepoTags":null,"Layers":["a/layer.tar"],"LayerSources":{}}]`),
		"saved, backslashes":          listed(`[{"Config":"config","RepoTags":["a:1"],"Layers":["a\\layer.tar"]}]`),
		"saved, more layers":          listed(`[{"Config":"config","RepoTags":["a:1"],"Layers":["a/layer.tar","a/layer.tar"]}]`),
		"saved, no layers":            listed(`[{"Config":"config","RepoTags":["a:1"],"Layers":[]}]`),
		"saved, an absent layer":      listed(`[{"Config":"config","RepoTags":["a:1"],"Layers":["b/layer.tar"]}]`),
		"saved, null":                 listed(`[null]`),
		"saved, empty":                listed(`[]`),
		"saved, a string":             listed(`"manifest"`),
		"chain":                       chain,
		"chain with repositories":     chain.add("repositories", []byte(`{"a":{"1":"a","2":"b"}}`)),
		"chain, null repositories":    chain.add("repositories", []byte(`{"a":null}`)),
		"chain, foreign repositories": chain.add("repositories", []byte(`{"a":{"1":"../a"}}`)),
		"chain, object beside":        chain.add("repositories", []byte(`{"a":{"1":"a"}}`)).add("manifest.json", []byte(`{"name":"web app"}`)),
		"circle":                      circle,
		"config without diff_ids":     files{}.add("a/layer.tar", one).add("config", []byte(`{"rootfs":{}}`)).add("manifest.json", []byte(`[{"Config":"config","Layers":["a/layer.tar"]}]`)),
		"other bytes twice":           listed(`[{"Config":"config","RepoTags":["a:1"],"Layers":["a/layer.tar"]}]`).add("config", []byte(`{}`)),
	}
}

// What is published, or why nothing is, must not depend on how an archive comes:
// every archive that tests make here, in dockerarchive and in registry, in every
// form, as it is and compressed again.
func TestEveryFixtureIsTheSameInEveryForm(t *testing.T) {
	if testing.Short() {
		t.Skip("publishes every archive in a dozen forms, twice")
	}
	dir := t.TempDir()
	sources := registrytest.Write(t, dir)
	tars := dockerSeeds()
	for name, f := range fixtures() {
		tars[name] = f.f
	}
	for levels := range 4 {
		tars[fmt.Sprintf("%d indices", levels)] = indexed(t, levels, 2)
	}
	diffID := digest.FromBytes(layerTar(1))
	tars["attested"] = attested([]byte(diffID))
	tars["artifact"] = artifact()
	for name, f := range tars {
		sources[name] = f.write(t)
	}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		t.Run(name, func(t *testing.T) {
			all, err := forms.Of(sources[name], t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range []Options{{}, {Recompress: true}} {
				want := outcome(t, all[0], o)
				t.Log(want)
				for _, f := range all[1:] {
					if f.Name == forms.Directory && name == "other bytes twice" {
						continue // a directory has each name once
					}
					if got := outcome(t, f, o); got != want {
						t.Errorf("%s, recompressed %t: %s\n%s: %s", f.Name, o.Recompress, got, all[0].Name, want)
					}
				}
			}
		})
	}
}
