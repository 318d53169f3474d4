package kubernetes

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// TestRemovalKeepsWhatWasPushed: without it who deletes what was applied would delete
// the namespace, and with that the registry's volume and the Secrets.
func TestRemovalKeepsWhatWasPushed(t *testing.T) {
	found := map[string]objects{"the chart": rendered(t, latest...), "testdata/monitoring": build(t, "testdata/monitoring")}
	err := filepath.WalkDir(deploy, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != "kustomization.yaml" {
			return err
		}
		if dir := filepath.Dir(path); !isComponent(t, path) {
			found[dir] = build(t, dir)
		}
		return nil
	})
	if err != nil || len(found) < 4 {
		t.Fatalf("%d ways to install, %v", len(found), err)
	}
	for of, objects := range found {
		for key := range objects {
			if kind, _, _ := strings.Cut(key, " "); kind == "Namespace" || kind == "PersistentVolumeClaim" || kind == "Secret" {
				t.Errorf("%s holds %s, which goes when that is deleted", of, key)
			}
		}
	}
}

// isComponent tells whether a kustomization is one that others include, and is nothing
// by itself.
func isComponent(t *testing.T, path string) bool {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var kind meta.TypeMeta
	if err := yaml.Unmarshal(text, &kind); err != nil {
		t.Fatal(err)
	}
	return kind.Kind == "Component"
}
