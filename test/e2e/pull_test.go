//go:build e2e

// Every engine pulls every archive, in every mode, before and after a restart
// (make test: short_test.go says which).

package e2e

import (
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// host is the platform whose containers this machine runs.
const host = "linux/" + runtime.GOARCH

func TestPull(t *testing.T) {
	engines := findEngines(t)
	if !thorough() {
		results.leaveOut("most archives by most engines", "make test-all pulls each by each, in every mode and after restarts")
	}
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			reg := m.start(t)
			images := publishAll(t, reg, m)
			results.progress("%s: published %d names", m.name, len(images))
			t.Run("first", func(t *testing.T) { pullAll(t, m, engines, images, true) })
			reg.checkAnswers(t, m)
			reg.restart(t)
			t.Run("restarted", func(t *testing.T) { pullAll(t, m, engines, images, false) })
			reg.checkAnswers(t, m)
		})
	}
}

// published is one name of an archive that was published.
type published struct {
	archive
	ref     string
	message string
	want    map[string]image // by platform
}

// publishAll publishes the mode's archives while the server runs.
func publishAll(t *testing.T, reg *registry, m mode) []published {
	t.Helper()
	var all []published
	for _, a := range findArchives(t, m) {
		t.Run("publish/"+a.title(), func(t *testing.T) {
			all = append(all, publishOne(t, reg, a)...)
		})
	}
	return all
}

// publishOne publishes an archive from its file and from standard input, and
// returns its names with what an engine must have after a pull.
func publishOne(t *testing.T, reg *registry, a archive) []published {
	t.Helper()
	src, err := readSource(archivePath(t, a.file))
	if err != nil {
		t.Fatal(err)
	}
	var all []published
	for i, ref := range publishLines(t, reg, a) {
		p := published{archive: a, ref: ref, message: message(a.names[i]), want: map[string]image{}}
		digest := reg.check(t, ref)
		for _, platform := range append([]string{host}, a.platforms...) {
			want, err := src.find(a.names[i], platform)
			if err != nil {
				t.Fatal(err)
			}
			if want.Digests == nil || slices.Contains(a.args, "--recompress") {
				want.Digests = []string{digest}
			}
			if !slices.Contains(want.Digests, digest) {
				t.Errorf("%s: the archive's digest is %v, published was %s", ref, want.Digests, digest)
			}
			p.want[platform] = want
		}
		all = append(all, p)
	}
	return all
}

// publishLines returns the lines that publish prints: the same, and with the
// same CID in every mode, however the archive is read.
func publishLines(t *testing.T, reg *registry, a archive) []string {
	t.Helper()
	var lines []string
	for _, stdin := range []bool{false, true} {
		if stdin && a.isDir() {
			continue
		}
		begin := time.Now()
		got, err := reg.publish(deadline(t), archivePath(t, a.file), stdin, slices.Concat(reg.publishArgs, a.args, []string{"-r", reg.addr})...)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("published in %.1f s (standard input: %v): %s", time.Since(begin).Seconds(), stdin, got)
		if lines != nil && !reflect.DeepEqual(got, lines) {
			t.Fatalf("from the file %s, from standard input %s", lines, got)
		}
		lines = got
	}
	ciq, _, _ := strings.Cut(strings.TrimPrefix(lines[0], reg.addr+"/"), "/")
	if _, err := cidOf(ciq); err != nil {
		t.Fatalf("publish printed %q: %v", lines, err)
	}
	var want []string
	for _, name := range a.names {
		want = append(want, reg.addr+"/"+ciq+name)
	}
	// docker saves several images in an order of its own.
	slices.SortStableFunc(lines, func(a, b string) int { return slices.Index(want, a) - slices.Index(want, b) })
	if !reflect.DeepEqual(lines, want) {
		t.Fatalf("publish printed %q, expected %q", lines, want)
	}
	results.sameRoot(t, a.title(), ciq)
	return lines
}

// pullAll lets the engines pull side by side, each one image after the other.
func pullAll(t *testing.T, m mode, engines map[string]engine, images []published, first bool) {
	for name, e := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, p := range images {
				if !p.pulledBy(name, m) || !p.triedBy(name, m, first) {
					continue
				}
				begin := time.Now()
				ok := t.Run(p.title()+" "+p.message, func(t *testing.T) { pullOne(t, e, p, first) })
				results.pulled(m, name, p.title(), ok)
				t.Logf("%-24s %5.1f s", p.title(), time.Since(begin).Seconds())
			}
		})
	}
}

// pullOne pulls an image and compares what arrived. The first time it is run,
// too, and its other platforms are pulled.
func pullOne(t *testing.T, e engine, p published, first bool) {
	for platform, want := range p.want {
		if platform != host && !first {
			continue
		}
		got, err := e.Pull(deadline(t), p.ref, platform)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, platform, got, want)
		if platform == host && first {
			text, err := e.Cat(deadline(t), p.ref, "/etc/message")
			if err != nil || text != p.message {
				t.Errorf("/etc/message: expected %q, found %q (%v)", p.message, text, err)
			}
		}
		if err := e.Remove(deadline(t), p.ref); err != nil {
			t.Error(err)
		}
	}
}

// compare holds what an engine has against what the archive says.
func compare(t *testing.T, platform string, got, want image) {
	t.Helper()
	if !slices.Contains(got.Digests, want.Digests[0]) {
		t.Errorf("%s: digest: expected %s, found %s", platform, want.Digests[0], got.Digests)
	}
	if got.Config != "" && got.Config != want.Config {
		t.Errorf("%s: config: expected %s, found %s", platform, want.Config, got.Config)
	}
	if !slices.Equal(got.DiffIDs, want.DiffIDs) {
		t.Errorf("%s: diff_ids: expected %s, found %s", platform, want.DiffIDs, got.DiffIDs)
	}
}
