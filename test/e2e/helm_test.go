//go:build e2e

package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestHelm pulls a chart that was published from a layout, by its version and by its
// digest, and renders it from the registry.
func TestHelm(t *testing.T) {
	home := t.TempDir()
	helm := append(command{"env", "HELM_CACHE_HOME=" + home, "HELM_CONFIG_HOME=" + home, "HELM_DATA_HOME=" + home}, extra(t, "helm")...)
	dir := t.TempDir()
	const config = `{"name":"app","version":"0.1.0","apiVersion":"v2"}`
	for name, text := range map[string]string{
		"app/Chart.yaml":         "apiVersion: v2\nname: app\nversion: 0.1.0\n",
		"app/templates/map.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := helm.output(deadline(t), "package", filepath.Join(dir, "app"), "--destination", dir); err != nil {
		t.Fatal(err)
	}
	chart, err := os.ReadFile(filepath.Join(dir, "app-0.1.0.tgz"))
	if err != nil {
		t.Fatal(err)
	}
	layout := filepath.Join(dir, "layout")
	manifest := chartLayout(t, layout, []byte(config), chart)
	addr, p := freeAddr(t), newProgram(t)
	p.serve(t, addr)
	names, err := p.publish(deadline(t), layout, false, "-r", addr)
	if err != nil || len(names) != 1 {
		t.Fatalf("published %v (%v)", names, err)
	}
	name, version, _ := strings.Cut(strings.TrimPrefix(names[0], addr), ":")
	url := "oci://" + addr + name
	for _, which := range [][]string{{url, "--version", version}, {url + "@" + manifest.String()}} {
		got := t.TempDir()
		if _, err := helm.output(deadline(t), append([]string{"pull", "--plain-http", "--destination", got}, which...)...); err != nil {
			t.Error(err)
			continue
		}
		found, err := filepath.Glob(filepath.Join(got, "*.tgz"))
		if err != nil || len(found) != 1 {
			t.Errorf("%v: pulled %v (%v)", which, found, err)
			continue
		}
		if data, err := os.ReadFile(found[0]); err != nil || !bytes.Equal(data, chart) {
			t.Errorf("%v: %d bytes (%v), expected the %d of the chart", which, len(data), err, len(chart))
		}
	}
	if out, err := helm.output(deadline(t), "template", "release", url, "--version", version, "--plain-http"); err != nil || !strings.Contains(out, "name: release") {
		t.Errorf("rendered %q (%v)", out, err)
	}
}

// chartLayout writes a chart as Helm stores it in registries and gives the digest of
// its manifest.
func chartLayout(t *testing.T, dir string, config, chart []byte) digest.Digest {
	t.Helper()
	write := func(name string, data []byte) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	blob := func(mediaType string, data []byte) ocispec.Descriptor {
		sum := sha256.Sum256(data)
		write(filepath.Join("blobs/sha256", hex.EncodeToString(sum[:])), data)
		return ocispec.Descriptor{MediaType: mediaType, Digest: digest.NewDigestFromBytes(digest.SHA256, sum[:]), Size: int64(len(data))}
	}
	text := func(v any) []byte {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	desc := blob(ocispec.MediaTypeImageManifest, text(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: blob("application/vnd.cncf.helm.config.v1+json", config),
		Layers: []ocispec.Descriptor{blob("application/vnd.cncf.helm.chart.content.v1.tar+gzip", chart)},
	}))
	desc.Annotations = map[string]string{ocispec.AnnotationRefName: "charts/app:0.1.0"}
	write(ocispec.ImageIndexFile, text(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{desc}}))
	write(ocispec.ImageLayoutFile, []byte(`{"imageLayoutVersion":"1.0.0"}`))
	return desc.Digest
}
