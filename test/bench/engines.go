package main

import (
	"fmt"
	"os"
	"strings"
)

// engineAt is an engine whose images are published, and how they got there.
type engineAt struct {
	what, scheme, flag, host string
	packed                   bool // it keeps layers compressed as they came
}

// engines measures what an update of an image stores that is published from an engine,
// by those whose sockets the flags name.
func (b *bench) engines() error {
	v1, v2, _, err := b.debianRoots()
	if err != nil {
		return err
	}
	lines := []string{"| engine | | newly stored after the upgrade | of whole gzip |", "|---|---|---|---|"}
	for _, e := range []engineAt{
		{"dockerd, classic store", "docker-daemon", "--docker-host", b.docker, false},
		{"podman", "podman", "--podman-host", b.podman, false},
		{"dockerd, containerd store, layers compressed", "docker-daemon", "--docker-host", b.dockerPacked, true},
	} {
		if e.host == "" {
			continue
		}
		for _, more := range [][]string{nil, {"--recompress"}} {
			if !e.packed && more != nil {
				continue // there is nothing to compress again
			}
			line, ratio, err := b.engineDelta(e, v1, v2, more...)
			if err != nil {
				return fmt.Errorf("%s: %w", e.what, err)
			}
			lines = append(lines, line)
			if !e.packed || more != nil {
				b.out.verdict(verdict{what: strings.TrimSpace("newly stored from " + e.what + " " + strings.Join(more, " ")), got: ratio, atMost: 0.28, unit: "of whole gzip"})
			}
		}
	}
	b.out.section("What updates of images in engines store", lines...)
	return nil
}

// engineDelta publishes an image from an engine, and then the same with its packages
// upgraded.
func (b *bench) engineDelta(e engineAt, v1, v2 string, more ...string) (line string, ratio float64, err error) {
	store, err := b.fresh("store")
	if err != nil {
		return "", 0, err
	}
	defer os.RemoveAll(store)
	var last published
	var size int64
	for _, v := range []struct{ name, root string }{{"root1", v1}, {"root2", v2}} {
		archive, err := b.write(v.name, root(v.root))
		if err != nil {
			return "", 0, err
		}
		if size, err = b.gzipped(archive); err != nil {
			return "", 0, err
		}
		if e.packed {
			if archive, err = b.dockerForm(v.name, archive); err != nil {
				return "", 0, err
			}
		}
		name := "bench/" + v.name + ":1"
		if _, err := b.command("docker", "-H", e.host, "load", "-q", "-i", archive).run(); err != nil {
			return "", 0, err
		}
		if last, _, err = b.publish(store, e.scheme+":"+name, append([]string{e.flag, e.host}, more...)...); err != nil {
			return "", 0, err
		}
		if _, err := b.command("docker", "-H", e.host, "rmi", "-f", name).run(); err != nil && e.scheme != "podman" { // which calls it localhost/…
			return "", 0, err
		}
	}
	ratio = float64(last.NewBytes) / float64(size)
	return fmt.Sprintf("| %s | %s | %.1f MB | %.3f |", e.what, strings.Join(more, " "), float64(last.NewBytes)/1e6, ratio), ratio, nil
}

// gzipped is how many bytes an archive has when it is compressed as a whole.
func (b *bench) gzipped(archive string) (size int64, err error) {
	whole := b.command("sh", "-c", `gzip -6 <"$0" | wc -c`, archive)
	if _, err := whole.run(); err != nil {
		return 0, err
	}
	_, err = fmt.Fscan(&whole.stdout, &size)
	return size, err
}

// dockerForm is the archive of an image with compressed layers, by the name that it has.
func (b *bench) dockerForm(name, archive string) (string, error) {
	path := b.path("in", name+".packed.tar")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	full := "docker.io/bench/" + name + ":1"
	_, err := b.command("skopeo", "copy", "-q", "--insecure-policy", "docker-archive:"+archive, "oci-archive:"+path+".part:"+full).run()
	if err != nil {
		return "", err
	}
	return path, os.Rename(path+".part", path)
}
