//go:build e2e

// The trees that image2ipfs 0.0.1 to 0.1.0 left on IPFS, added to Kubo as they
// were then, and pulled by today's engines: as they are, and converted.

package e2e

import (
	"archive/tar"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/test/oldtree"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

const (
	oldArchive = "small.docker20.tar"
	oldName    = "team/small"
)

// TestLegacyTrees pulls the tree of each old version, and what convert makes of
// it, through a server that finds Kubo's gateway by itself.
func TestLegacyTrees(t *testing.T) {
	image := readOldImage(t)
	want, err := diffIDs(image.Config)
	if err != nil {
		t.Fatal(err)
	}
	engines := someOf(findEngines(t))
	k := startKubo(t)
	r := &registry{program: newProgram(t), gateway: k.gateway}
	r.server = r.serve(t, freeAddr(t), "--api", k.api)
	for _, version := range oldtree.Versions {
		t.Run(version, func(t *testing.T) {
			root := addOldTree(t, k, version, image)
			ref := r.addr + "/" + root + "/" + oldName
			out, err := r.command().output(deadline(t), "convert", "-q", "--api", k.api, "-r", r.addr, root)
			if err != nil || !strings.HasSuffix(out, "/"+oldName) {
				t.Fatalf("convert printed %q: %v", out, err)
			}
			if version == "0.0.2" || version == "0.0.3" {
				refusesSchema1(t, r, engines, ref)
			} else {
				pullOld(t, r, engines, ref, want)
			}
			pullOld(t, r, engines, out, want)
		})
	}
	answers := r.blobsAnswered(t)
	t.Logf("blobs: %v by status", answers)
	if answers[http.StatusTemporaryRedirect] == 0 || answers[http.StatusOK] == 0 {
		t.Errorf("blobs were answered %v, expected redirects to Kubo's gateway and inflated layers", answers)
	}
}

// readOldImage reads what the old versions read of an archive.
func readOldImage(t *testing.T) oldtree.Image {
	t.Helper()
	f, err := os.Open(archivePath(t, oldArchive))
	if err != nil {
		missing(t, oldArchive, err.Error())
		t.SkipNow()
	}
	defer f.Close()
	files := map[string][]byte{}
	for entries := tar.NewReader(f); ; {
		header, err := entries.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			files[header.Name], err = io.ReadAll(entries)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var saved []struct {
		Config string
		Layers []string
	}
	if err := json.Unmarshal(files["manifest.json"], &saved); err != nil || len(saved) != 1 {
		t.Fatalf("manifest.json: %s (%v)", files["manifest.json"], err)
	}
	image := oldtree.Image{Config: files[saved[0].Config]}
	for _, name := range saved[0].Layers {
		image.Layers = append(image.Layers, files[name])
	}
	return image
}

// addOldTree adds a tree as `ipfs add -r` did at the time and returns the name
// that the version gave it: hex at first, ciq since 0.0.3. The unit tests' trees
// must be the same.
func addOldTree(t *testing.T, k *kubo, version string, image oldtree.Image) string {
	t.Helper()
	files := oldtree.Files(t, version, oldName, image)
	dir := filepath.Join(t.TempDir(), "tree")
	for name, data := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := k.ipfs.output(deadline(t), "add", "-r", "-Q", "--cid-version=0", "--chunker=size-262144", "--raw-leaves=false", dir)
	if err != nil {
		t.Fatal(err)
	}
	root, err := cid.Decode(out)
	if err != nil || root.Version() != 0 {
		t.Fatalf("ipfs add printed %q: %v", out, err)
	}
	if ours := oldtree.Add(t, testlayout.NewBlocks(), files); ours.Hash().HexString() != root.Hash().HexString() {
		t.Errorf("the unit tests' tree is %s, Kubo's %s", ours, root)
	}
	if version == "0.0.1" || version == "0.0.2" {
		return hex.EncodeToString(root.Hash())
	}
	out, err = k.ipfs.output(deadline(t), "cid", "format", "-v", "1", "-b", "base32", "-f", "%M", out)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(out, "b")
}

// pullOld lets all engines pull an image and compares what arrived.
func pullOld(t *testing.T, r *registry, engines map[string]engine, ref string, diffIDs []string) {
	t.Helper()
	want, err := r.resolve(t, ref)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(want.DiffIDs, diffIDs) {
		t.Errorf("%s: the config has diff_ids %s, expected %s", ref, want.DiffIDs, diffIDs)
	}
	t.Run(strings.TrimPrefix(ref, r.addr+"/"), func(t *testing.T) {
		for name, e := range engines {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				got, err := e.Pull(deadline(t), ref, host)
				if err != nil {
					t.Fatal(err)
				}
				compare(t, host, got, want)
				text, err := e.Cat(deadline(t), ref, "/etc/message")
				if err != nil || text != "small" {
					t.Errorf("/etc/message: found %q (%v)", text, err)
				}
				if err := e.Remove(deadline(t), ref); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

// resolve reads what an image is from the registry.
func (r *registry) resolve(t *testing.T, ref string) (image, error) {
	repo := strings.TrimPrefix(ref, r.addr+"/")
	manifest, digest := r.manifest(t, repo, "latest")
	blobs := func(d string) ([]byte, error) {
		if d == digest {
			return manifest, nil
		}
		resp, err := http.Get("http://" + r.addr + "/v2/" + repo + "/blobs/" + d)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err == nil && digestOf(data) != d {
			err = fmt.Errorf("blob %s: %s, %d bytes of %s", d, resp.Status, len(data), digestOf(data))
		}
		return data, err
	}
	return resolve(blobs, digest, host)
}

// refusesSchema1 tells what engines say to an image that is not converted: they
// must fail, and the server say what to do.
func refusesSchema1(t *testing.T, r *registry, engines map[string]engine, ref string) {
	t.Helper()
	resp, err := http.Get("http://" + strings.Replace(ref, "/", "/v2/", 1) + "/manifests/latest")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusNotFound || !strings.Contains(string(body), "image2ipfs convert ciq") {
		t.Errorf("%s: %s %s (%v)", ref, resp.Status, body, err)
	}
	for name, e := range engines {
		_, err := e.Pull(deadline(t), ref, host)
		if err == nil {
			t.Errorf("%s: pulled schema 1", name)
			continue
		}
		t.Logf("%s says: %s", name, tail(err.Error(), 1))
	}
}
