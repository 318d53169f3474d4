package legacy

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/test/oldtree"
)

// From schema 1's history the config must come out that the image had: what it
// runs, for which machine, and how it was built.
func TestReadSchema1(t *testing.T) {
	image := oldtree.NewImage(t, "old", 10, 20)
	manifest := oldtree.Files(t, "0.0.3", "app", image)["app/manifests/latest"]
	config, layers, err := readSchema1(manifest)
	if err != nil {
		t.Fatal(err)
	}
	var c ocispec.Image
	if err := json.Unmarshal(config, &c); err != nil {
		t.Fatal(err)
	}
	if len(layers) != 3 || len(c.History) != 3 || c.OS != "linux" || c.Architecture != "amd64" || strings.Join(c.Config.Cmd, " ") != "/bin/cat /etc/old" {
		t.Errorf("%d layers, config %s", len(layers), config)
	}
	if c.History[0].CreatedBy != "/bin/sh -c #(nop) ADD 0" || c.History[2].CreatedBy != "/bin/sh -c #(nop) ADD 2" {
		t.Errorf("history is in the wrong order: %+v", c.History)
	}
	if strings.Contains(string(config), `"id"`) || strings.Contains(string(config), `"parent"`) {
		t.Errorf("config has fields of schema 1: %s", config)
	}
}

const sum = `{"blobSum":"sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"}`

// Layers that were thrown away are steps of the history only.
func TestThrowaway(t *testing.T) {
	config, layers, err := readSchema1([]byte(`{"schemaVersion":1,"architecture":"arm64","fsLayers":[` + sum + `,` + sum + `],"history":[` +
		`{"v1Compatibility":"{\"throwaway\":true,\"config\":{\"Env\":[\"A=1\"]},\"container_config\":{\"Cmd\":[\"ENV A=1\"]}}"},{"v1Compatibility":"{}"}]}`))
	const want = `{"architecture":"arm64","config":{"Env":["A=1"]},"container_config":{"Cmd":["ENV A=1"]},"history":[{},{"created_by":"ENV A=1","empty_layer":true}],"os":"linux"}`
	if err != nil || len(layers) != 1 || string(config) != want {
		t.Errorf("%d layers, %v, config\n%s, want\n%s", len(layers), err, config, want)
	}
}

func TestBadSchema1(t *testing.T) {
	for _, manifest := range []string{
		``, `[]`, `{}`, `{"schemaVersion":2}`, `{"schemaVersion":1,"fsLayers":[` + sum + `]}`,
		`{"schemaVersion":1,"fsLayers":[],"history":[{"v1Compatibility":"{}"}]}`,
		`{"schemaVersion":1,"fsLayers":[` + sum + `],"history":[{"v1Compatibility":"x"}]}`,
		`{"schemaVersion":1,"fsLayers":[` + sum + `],"history":[{"v1Compatibility":"null"}]}`,
		`{"schemaVersion":1,"fsLayers":[{"blobSum":"../etc/passwd"}],"history":[{"v1Compatibility":"{}"}]}`,
	} {
		if _, _, err := readSchema1([]byte(manifest)); !errors.Is(err, oci.ErrCorrupt) {
			t.Errorf("%s: error %v, want ErrCorrupt", manifest, err)
		}
	}
}

// FuzzSchema1 reads any manifest: what is accepted gives a config that is read
// back, and as many steps with layers as there are layers.
func FuzzSchema1(f *testing.F) {
	image := oldtree.NewImage(f, "old", 10)
	f.Add(oldtree.Files(f, "0.0.2", "app", image)["app/manifests/latest"])
	f.Add([]byte(`{"schemaVersion":1,"fsLayers":[` + sum + `],"history":[{"v1Compatibility":"{\"throwaway\":true}"}]}`))
	f.Add([]byte(`{"schemaVersion":1,"fsLayers":[` + sum + `],"history":[{"v1Compatibility":"{\"OS\":7,\"os\":\"\",\"Rootfs\":{},\"ID\":1}"}]}`))
	f.Add([]byte(`{"schemaVersion":1,"fsLayers":[{}],"history":[{"v1Compatibility":"null"}]}`))
	f.Fuzz(func(t *testing.T, manifest []byte) {
		config, layers, err := readSchema1(manifest)
		if err != nil {
			if !errors.Is(err, oci.ErrCorrupt) {
				t.Errorf("error %v is of no kind", err)
			}
			return
		}
		var c ocispec.Image
		if err := json.Unmarshal(config, &c); err != nil {
			t.Fatalf("config %s: %v", config, err)
		}
		steps := 0
		for _, h := range c.History {
			if !h.EmptyLayer {
				steps++
			}
		}
		if steps != len(layers) || c.OS == "" || c.Architecture == "" {
			t.Errorf("%d layers, config %s", len(layers), config)
		}
	})
}
