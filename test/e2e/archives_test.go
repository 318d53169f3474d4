//go:build e2e

// The archives that hack/images.sh made, and what is expected of each.

package e2e

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// archive is one archive to publish.
type archive struct {
	file  string
	names []string // what follows host/CID in the lines that publish prints
	args  []string // more arguments of publish
	// platforms that are pulled besides this machine's own.
	platforms []string
	// everywhere is set for the archives that every engine pulls in every mode;
	// the others are there for their format and are pulled directly only.
	everywhere bool
	// stands is set for those of them that stand for the others in make test.
	stands bool
	// by names the engines that pull it; empty for all of them.
	by []string
	// redirected names the engines that pull it in the redirecting modes, too.
	redirected []string
	// unless gives the engines that cannot pull it, with the reason.
	unless map[string]string
}

var archives = []archive{
	{file: "small.docker20.tar", names: []string{"/small"}, everywhere: true, stands: true},
	{file: "small.docker28.tar", names: []string{"/small"}, everywhere: true},
	{file: "small.skopeo", names: []string{"/small"}, everywhere: true},
	{file: "small.skopeo-oci.tar", names: []string{"/small"}, everywhere: true},
	{file: "small.skopeo-docker.tar", names: []string{"/small"}, everywhere: true},
	{file: "platforms.buildkit.tar", names: []string{"/platforms"}, everywhere: true, stands: true,
		platforms: []string{"linux/arm64", "linux/arm/v7"}},
	{file: "plain.crane.tar", names: []string{"/plain"}, everywhere: true},
	{file: "big.docker20.tar", names: []string{"/team/big"}, redirected: []string{"dockerd20", "containerd2", "podman", "podman5"}},

	{file: "small.docker28classic.tar", names: []string{"/small"}},
	{file: "small.containerd.tar", names: []string{"/small"}},
	{file: "small.podman.tar", names: []string{"/small"}},
	{file: "small.podman-oci.tar", names: []string{"/small"}},
	{file: "small.skopeo-zstd", names: []string{"/small"},
		unless: map[string]string{"dockerd20": "dockerd reads zstd layers since 23"}},
	{file: "multi.docker20.tar", names: []string{"/small:1", "/small:latest", "/second:2"}},
	{file: "unnamed.docker20.tar", names: []string{""}},
	{file: "big.docker28.tar", names: []string{"/team/big"}, by: []string{"dockerd28", "containerd2"}},
	{file: "big.docker28classic.tar", names: []string{"/team/big"}, by: []string{"dockerd20"}},
	{file: "big.skopeo", names: []string{"/big"}, by: []string{"skopeo", "containerd16"}},
	{file: "big.skopeo-oci.tar", names: []string{"/big"}, by: []string{"podman", "podman5"}},
	{file: "big.skopeo-docker.tar", names: []string{"/big"}, by: []string{"crane"}},

	{file: "small.docker20.tar", names: []string{"/small"}, args: lazily},
	{file: "big.docker20.tar", names: []string{"/team/big"}, args: lazily, redirected: []string{"containerd2"}},
	{file: "small.docker28classic.tar", names: []string{"/small"}, args: inChunks, unless: noZstd},
	{file: "big.docker20.tar", names: []string{"/team/big"}, args: inChunks, redirected: []string{"containerd2"}, unless: noZstd},
	{file: "platforms.buildkit.tar", names: []string{"/platforms"}, args: append([]string{"--recompress"}, inChunks...), unless: noZstd,
		platforms: []string{"linux/arm64", "linux/arm/v7"}},
}

// Layers with an index inside are ordinary layers to every engine.
var (
	lazily   = []string{"--lazy"}
	inChunks = []string{"--compression", "zstd:chunked"}
	noZstd   = map[string]string{"dockerd20": "dockerd reads zstd layers since 23"}
)

// title is how an archive is told from others in the table.
func (a archive) title() string { return strings.Join(append([]string{a.file}, a.args...), " ") }

// message is what /etc/message says in the image of a printed name.
func message(name string) string {
	name = name[strings.LastIndex(name, "/")+1:]
	name, _, _ = strings.Cut(name, ":")
	switch name {
	case "":
		return "small"
	case "platforms":
		return "platforms " + runtime.GOARCH
	}
	return name
}

// isDir tells whether the archive is a directory: no standard input for these.
func (a archive) isDir() bool { return !strings.HasSuffix(a.file, ".tar") }

// pulledBy tells whether an engine pulls the archive in a mode.
func (a archive) pulledBy(engine string, m mode) bool {
	switch {
	case a.unless[engine] != "":
		results.leaveOut(a.title()+" by "+engine, a.unless[engine])
		return false
	case a.everywhere:
		return true
	case m.redirects:
		return slices.Contains(a.redirected, engine)
	}
	return len(a.by) == 0 || slices.Contains(a.by, engine)
}

// findArchives returns the archives that exist and are published in a mode.
func findArchives(t *testing.T, m mode) []archive {
	t.Helper()
	var found []archive
	for _, a := range archives {
		if m.redirects && !a.everywhere && len(a.redirected) == 0 || !a.triedIn(m) {
			continue
		}
		if _, err := os.Stat(archivePath(t, a.file)); err != nil {
			missing(t, a.file, "archive not there (hack/images.sh makes it)")
			continue
		}
		found = append(found, a)
	}
	return found
}
