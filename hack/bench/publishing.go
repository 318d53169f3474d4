package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// debianRoots are tars of a Debian root before and after an upgrade, and with
// new mtimes.
func (b *bench) debianRoots() (v1, v2, v1m string, err error) {
	dir := b.roots
	if dir == "" {
		dir = b.path("roots")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", "", "", err
		}
		b.say("Debian roots (minutes, once)")
		if _, err := b.command("hack/bench/roots.sh", dir).run(); err != nil {
			return "", "", "", err
		}
	}
	return filepath.Join(dir, "v1.tar"), filepath.Join(dir, "v2.tar"), filepath.Join(dir, "v1m.tar"), nil
}

// image is an archive to be published and how often.
type image struct {
	name, path string
	rounds     int
}

func (b *bench) images() ([]image, error) {
	v1, _, _, err := b.debianRoots()
	if err != nil {
		return nil, err
	}
	var thousand, giant []source
	for i := range 1000 {
		thousand = append(thousand, made(fmt.Sprintf("d%d", i), 1, 500, uint64(i)))
	}
	for i := range 4 {
		giant = append(giant, made(fmt.Sprintf("g%d", i), 256, 1<<20, uint64(i)<<32))
	}
	var images []image
	for _, i := range []struct {
		name   string
		rounds int
		layers []source
	}{
		{"debian", b.rounds, []source{root(v1), application(1)}},
		{"files", b.rounds, []source{made("f", 1000, 1000, 5e6)}},
		{"giant", max(1, b.rounds/2), giant},
		{"layers", max(1, b.rounds/2), thousand},
	} {
		if b.names != "" && !strings.Contains(b.names, i.name) {
			continue
		}
		path, err := b.write(i.name, i.layers...)
		if err != nil {
			return nil, err
		}
		images = append(images, image{i.name, path, i.rounds})
	}
	return images, nil
}

// ociForm gives the same image as an OCI archive with compressed layers.
func (b *bench) ociForm(i image) (string, error) {
	path := b.path("in", i.name+".oci.tar")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	_, err := b.command("skopeo", "copy", "-q", "--insecure-policy", "docker-archive:"+i.path, "oci-archive:"+path+".part:bench:1").run()
	if err != nil {
		return "", err
	}
	return path, os.Rename(path+".part", path)
}

func (b *bench) publishing() error {
	images, err := b.images()
	if err != nil {
		return err
	}
	for _, i := range images {
		if err := b.publishImage(i); err != nil {
			return fmt.Errorf("%s: %w", i.name, err)
		}
	}
	return nil
}

// publishImage runs all contenders over one image.
func (b *bench) publishImage(i image) error {
	t := b.out.table("Publishing "+i.name+describe(i.path), "embedded")
	big := i.name == "debian" || i.name == "giant"
	var oci string
	if big {
		var err error
		if oci, err = b.ociForm(i); err != nil {
			return err
		}
	}
	for round := range i.rounds + 1 { // the first warms disk and page cache
		b.say("%s, round %d of %d", i.name, round, i.rounds)
		t.keep = round > 0
		for _, run := range []func() error{
			func() error { return b.publishOurs(t, i.path) },
			func() error { return b.publishKubo(t, i.path) },
			func() error { return b.publishSkopeo(t, i.path) },
			func() error { return b.floors(t, "docker archive: ", i.path, i.name == "debian") },
			func() error { return b.publishOCI(t, oci) },
		} {
			if err := run(); err != nil {
				return err
			}
			syscall.Sync()
		}
	}
	if b.kubo != "" {
		t.ratio("docker archive, through Kubo, against skopeo", "kubo", 1.1, "skopeo")
	}
	t.ratio("docker archive, embedded, against skopeo into docker-registry", "embedded", 0.8, "skopeo")
	t.ratio("published again, against openssl sha256", "embedded, again", 1.5, "docker archive: openssl sha256")
	if big {
		t.ratio("OCI archive, embedded, against openssl sha256 + copy with fsync", "OCI archive, embedded", 1.0, "OCI archive: openssl sha256", "OCI archive: copy with fsync")
	}
	t.limit("peak memory of publish, embedded", 96<<20)
	return nil
}

func describe(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (docker archive of %.1f MB)", float64(info.Size())/1e6)
}

// published is what publish --json tells of interest here.
type published struct {
	NewBytes  int64 `json:"newBytes"`
	NewBlocks int   `json:"newBlocks"`
	Size      int64 `json:"size"`
	Root      struct {
		V1  string `json:"cidv1"`
		Ciq string `json:"ciq"`
	} `json:"root"`
	Images []struct {
		Digest string `json:"digest"`
	} `json:"images"`
	Layers []struct {
		Digest string `json:"digest"`
		Size   int64  `json:"size"`
	} `json:"layers"`
}

// publish publishes into a store and tells what that cost.
func (b *bench) publish(store, archive string, more ...string) (published, cost, error) {
	tmp, err := b.fresh("tmp")
	if err != nil {
		return published{}, cost{}, err
	}
	c := b.command(append([]string{b.binary, "publish", "--json", archive}, more...)...).env("IMAGE2IPFS_PATH="+store, "IPFS_PATH=", "IPFS_API=").watch(tmp)
	used, err := c.run()
	var p published
	if err == nil {
		err = json.Unmarshal(c.stdout.Bytes(), &p)
	}
	return p, used, err
}

func (b *bench) publishOurs(t *table, archive string) error {
	store, err := b.fresh("store")
	if err != nil {
		return err
	}
	p, used, err := b.publish(store, archive)
	if err != nil {
		return err
	}
	t.add("embedded", used, fmt.Sprintf("%.1f MB in %d blocks", float64(p.NewBytes)/1e6, p.NewBlocks))
	if p, used, err = b.publish(store, archive); err != nil {
		return err
	}
	t.add("embedded, again", used, fmt.Sprintf("%.1f MB in %d blocks", float64(p.NewBytes)/1e6, p.NewBlocks))
	return nil
}

func (b *bench) publishOCI(t *table, archive string) error {
	if archive == "" {
		return nil
	}
	store, err := b.fresh("store")
	if err != nil {
		return err
	}
	p, used, err := b.publish(store, archive)
	if err != nil {
		return err
	}
	t.add("OCI archive, embedded", used, fmt.Sprintf("%.1f MB in %d blocks", float64(p.NewBytes)/1e6, p.NewBlocks))
	if _, used, err = b.publish(store, archive); err != nil {
		return err
	}
	t.add("OCI archive, embedded, again", used, "")
	return b.floors(t, "OCI archive: ", archive, false)
}

func (b *bench) floors(t *table, prefix, archive string, compress bool) error {
	dir, err := b.fresh("copy")
	if err != nil {
		return err
	}
	floors := [][]string{
		{"openssl sha256", "openssl", "sha256", archive},
		{"copy with fsync", "dd", "if=" + archive, "of=" + dir + "/copy", "bs=1M", "conv=fsync", "status=none"},
	}
	if compress {
		floors = append(floors, []string{"gzip -6", "sh", "-c", `gzip -6 <"$0" >/dev/null`, archive}, []string{"pigz -6", "sh", "-c", `pigz -6 <"$0" >/dev/null`, archive})
	}
	for _, f := range floors {
		if !have(f[1]) {
			continue
		}
		used, err := b.command(f[1:]...).run()
		if err != nil {
			return err
		}
		t.add(prefix+f[0], used, "")
	}
	_, err = b.fresh("copy")
	return err
}
