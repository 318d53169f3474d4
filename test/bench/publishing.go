package main

import (
	"encoding/json"
	"fmt"
)

// publishing publishes every image, by all contenders.
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

// big tells whether an image is large enough to compare with floors and to be
// published in its OCI form, too.
func (i image) big() bool { return i.name == "debian" || i.name == "giant" }

func (b *bench) publishImage(i image) error {
	t := b.out.table(fmt.Sprintf("Publishing %s (docker archive of %.1f MB)", i.name, float64(i.size)/1e6))
	t.prefix = i.name + ": "
	contenders := []contender{
		{name: "embedded", run: b.publishes("embedded", i.path)},
		{name: "kubo", run: func(t *table) error { return b.publishKubo(t, i) }},
		{name: "kubo alone", run: func(t *table) error { return b.importAlone(t, i) }},
		{name: "ipfs add", run: func(t *table) error { return b.ipfsAdd(t, i.path) }},
		{name: "skopeo", run: func(t *table) error { return b.publishSkopeo(t, i.path) }},
		{name: "docker archive: openssl sha256", run: b.hashes("docker archive: ", i.path)},
	}
	if i.big() {
		contenders = append(contenders, contender{name: "docker archive: copy with fsync", run: b.copies("docker archive: ", i.path)})
	}
	if i.name == "debian" {
		contenders = append(contenders, b.compressors(i.path)...)
	}
	if err := b.turns(t, i.rounds, i.size, contenders); err != nil {
		return err
	}
	t.ratio("docker archive, through Kubo, against skopeo", "kubo", 1.1, "skopeo")
	t.ratio("docker archive, embedded, against skopeo into docker-registry", "embedded", 0.8, "skopeo")
	t.ratio("published again, against openssl sha256", "embedded, again", 1.5, "docker archive: openssl sha256")
	if i.big() {
		if err := b.publishOCI(t, i); err != nil {
			return err
		}
	}
	t.memory("peak memory of publish, embedded", 96<<20, "embedded", "OCI archive, embedded")
	return nil
}

// publishOCI compares with the floor of what arrives compressed.
func (b *bench) publishOCI(t *table, i image) error {
	archive, err := b.ociForm(i)
	if err != nil {
		return err
	}
	err = b.turns(t, i.rounds, i.size/2, []contender{
		{name: "OCI archive, embedded", run: b.publishes("OCI archive, embedded", archive)},
		{name: "OCI archive: openssl sha256", run: b.hashes("OCI archive: ", archive)},
		{name: "OCI archive: copy with fsync", run: b.copies("OCI archive: ", archive)},
	})
	t.ratio("OCI archive, embedded, against openssl sha256 + copy with fsync", "OCI archive, embedded", 1.0, "OCI archive: openssl sha256", "OCI archive: copy with fsync")
	return err
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
	c := b.command(append([]string{b.binary, "publish", "--json", archive}, more...)...).env(ownStore(store)...).watch(tmp)
	used, err := c.run()
	var p published
	if err == nil {
		err = json.Unmarshal(c.stdout.Bytes(), &p)
	}
	return p, used, err
}

// publishes publishes into a fresh store, twice.
func (b *bench) publishes(name, archive string) func(*table) error {
	return func(t *table) error {
		store, err := b.fresh("store")
		if err != nil {
			return err
		}
		for _, name := range []string{name, name + ", again"} {
			p, used, err := b.publish(store, archive)
			if err != nil {
				return err
			}
			t.add(name, used, fmt.Sprintf("%.1f MB in %d blocks", float64(p.NewBytes)/1e6, p.NewBlocks))
		}
		_, err = b.fresh("store")
		return err
	}
}
