package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/server"
	"github.com/image2ipfs/image2ipfs/test/oldtree"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// oldGateway serves the tree of an old version as an IPFS gateway does, and
// gives its URL and the root.
func oldGateway(t *testing.T, files map[string][]byte) (url, root string) {
	t.Helper()
	blocks := testlayout.NewBlocks()
	c := oldtree.Add(t, blocks, files)
	s, err := server.New(server.Config{Local: blocks, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	hs := httptest.NewServer(s)
	t.Cleanup(func() {
		hs.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("IMAGE2IPFS_PATH", t.TempDir())
	t.Setenv("IPFS_API", "")
	t.Setenv("IPFS_PATH", t.TempDir())
	return hs.URL, ref.Ciq(c)
}

// run runs the command and gives its standard output.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out, told bytes.Buffer
	root := newRoot(io.Discard, io.Discard)
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&told)
	err := root.ExecuteContext(t.Context())
	t.Logf("%s\n%s", strings.Join(args, " "), &told)
	return out.String(), err
}

// converted is the one image of a layout in the store, with every blob checked.
type converted struct {
	desc     ocispec.Descriptor
	manifest ocispec.Manifest
	config   ocispec.Image
}

func readConverted(t *testing.T, name string) converted {
	t.Helper()
	ctx := context.Background()
	n, err := ref.ParseName(name)
	if err != nil {
		t.Fatal(err)
	}
	store, err := openStore()
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	opened, err := layout.Open(ctx, store, n.Root)
	if err != nil {
		t.Fatal(err)
	}
	var c converted
	if c.desc, err = opened.Resolve(ctx, n); err != nil {
		t.Fatal(err)
	}
	l := opened.Files()
	read := func(desc ocispec.Descriptor, v any) {
		r, err := l.Fetch(ctx, desc)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		data, err := io.ReadAll(r)
		if err == nil && v != nil {
			err = json.Unmarshal(data, v)
		}
		if err != nil {
			t.Fatalf("%s: %v", desc.Digest, err)
		}
	}
	read(c.desc, &c.manifest)
	read(c.manifest.Config, &c.config)
	for _, d := range c.manifest.Layers {
		read(d, nil)
	}
	return c
}

// Each old image must come out of convert with what it runs and with its
// layers, under a name that pulls.
func TestConvert(t *testing.T) {
	image := oldtree.NewImage(t, "old", 300<<10, 10)
	for _, version := range oldtree.Versions {
		t.Run(version, func(t *testing.T) {
			files := oldtree.Files(t, version, "coreos/etcd", image)
			url, root := oldGateway(t, files)
			out, err := run(t, "convert", "-r", "my-gateway.local:8080", "-q", "--gateway", url, root)
			if err != nil {
				t.Fatal(err)
			}
			name, rest, _ := strings.Cut(out, "\n")
			if !strings.HasPrefix(name, "my-gateway.local:8080/ciq") || !strings.HasSuffix(name, "/coreos/etcd") || rest != "" {
				t.Errorf("printed %q", out)
			}
			c := readConverted(t, name)
			var diffIDs []digest.Digest
			for _, l := range image.Layers {
				diffIDs = append(diffIDs, digest.FromBytes(l))
			}
			if !slices.Equal(c.config.RootFS.DiffIDs, diffIDs) || strings.Join(c.config.Config.Cmd, " ") != "/bin/cat /etc/old" {
				t.Errorf("config %+v", c.config)
			}
			for i, l := range c.manifest.Layers {
				if l.Digest != digest.FromBytes(oldtree.Gzip(t, image.Layers[i])) {
					t.Errorf("layer %d does not have its bytes any more: %+v", i, l)
				}
			}
			latest := digest.FromBytes(files["coreos/etcd/manifests/latest"])
			if v2, ok := files["coreos/etcd/manifests/latest-v2"]; ok {
				latest = digest.FromBytes(v2)
			}
			if kept := c.desc.Digest == latest; kept != (version == "0.0.1" || version == "0.0.4") {
				t.Errorf("manifest is %+v, was %s", c.desc, latest)
			}
		})
	}
}

// --json and --recompress do what they do for publish.
func TestConvertFlags(t *testing.T) {
	url, root := oldGateway(t, oldtree.Files(t, "0.1.0", "app", oldtree.NewImage(t, "old", 300<<10)))
	out, err := run(t, "convert", "--json", "--recompress", "--gateway", url, root)
	if err != nil {
		t.Fatal(err)
	}
	if err := fits("convert", out); err != nil {
		t.Error(err)
	}
	var p published
	if err := json.Unmarshal([]byte(out), &p); err != nil || len(p.Images) != 1 || p.Images[0].MediaType != ocispec.MediaTypeImageManifest {
		t.Fatalf("printed %s: %v", out, err)
	}
	readConverted(t, p.Images[0].PullName)
	if _, err := run(t, "convert", p.Root.Ciq); exitCode(err) != exitUsage || !strings.Contains(err.Error(), "already") {
		t.Errorf("an OCI layout: %v", err)
	}
	if _, err := run(t, "pull", "--to", "oci:"+t.TempDir()+"/x", "--gateway", url, root); err == nil || !strings.Contains(err.Error(), "image2ipfs convert "+root) {
		t.Errorf("pull of an old tree: %v", err)
	}
}

// What an old tree has wrong must not be published under a right name.
func TestConvertRefuses(t *testing.T) {
	image := oldtree.NewImage(t, "old", 300<<10)
	for name, c := range map[string]struct {
		version string
		digest  digest.Digest
		content []byte
		want    error
		exit    int
	}{
		"other layer":   {"0.0.3", digest.FromBytes(oldtree.Gzip(t, image.Layers[0])), oldtree.Gzip(t, image.Layers[1]), oci.ErrCorrupt, exitIntegrity},
		"other tar":     {"0.1.0", digest.FromBytes(image.Layers[0]), oldtree.Gzip(t, image.Layers[1]), nil, exitArchive},
		"missing layer": {"0.0.1", digest.FromBytes(oldtree.Gzip(t, image.Layers[0])), nil, ipfs.ErrNotFound, exitNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			files := oldtree.Files(t, c.version, "app", image)
			path := "app/blobs/" + c.digest.String()
			if files[path] == nil {
				t.Fatalf("no %s", path)
			}
			if files[path] = c.content; c.content == nil {
				delete(files, path)
			}
			url, root := oldGateway(t, files)
			out, err := run(t, "convert", "--gateway", url, root)
			if out != "" || exitCode(err) != c.exit || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("printed %q, error %v (exit %d), want exit %d", out, err, exitCode(err), c.exit)
			}
			if out, _ := run(t, "ls", "-q"); out != "" {
				t.Errorf("published all the same: %s", out)
			}
		})
	}
}
