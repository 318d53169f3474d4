//go:build e2e

// What the tests ask of a container engine.

package e2e

import (
	"context"
	"testing"
)

// engine is a container engine that pulls from a registry over plain HTTP.
type engine interface {
	// Version tells what runs: printed, never compared.
	Version(ctx context.Context) (string, error)
	// Pull fetches what a reference names for a platform (as in linux/arm64)
	// and returns what the engine now says it has.
	Pull(ctx context.Context, ref, platform string) (image, error)
	// Cat returns a file of a pulled image of this machine's platform, read in
	// a container where the engine runs any, else in the unpacked files.
	Cat(ctx context.Context, ref, file string) (string, error)
	// Remove forgets an image and its layers, so that the next pull starts anew.
	Remove(ctx context.Context, ref string) error
}

// image is what an engine tells about an image that it pulled.
type image struct {
	Digests []string // of the manifest or index that the reference leads to
	Config  string   // digest of the config; empty if the engine does not tell
	DiffIDs []string
}

// engineNames are all engines, in the order of the table's columns.
var engineNames = []string{
	"dockerd20", "dockerd28", "containerd16", "containerd2", "skopeo", "podman", "podman5", "crane",
}

// newEngine speaks to an engine through its command.
func newEngine(t *testing.T, name string, c command) engine {
	switch name {
	case "dockerd20", "dockerd28":
		return dockerd{c}
	case "containerd16", "containerd2":
		return containerd{c}
	case "podman", "podman5":
		return podman{c}
	case "skopeo":
		return skopeo{c, t.TempDir()}
	case "crane":
		return crane{c, t.TempDir()}
	}
	t.Fatalf("%s: unknown engine", name)
	return nil
}

// findEngines returns the engines that answer, by name.
func findEngines(t *testing.T) map[string]engine {
	t.Helper()
	found := map[string]engine{}
	for _, name := range engineNames {
		c := commandFor(name)
		if c == nil {
			missing(t, name, "engine not there (hack/engines.sh up starts it)")
			continue
		}
		e := newEngine(t, name, c)
		version, err := e.Version(deadline(t))
		if err != nil {
			missing(t, name, err.Error())
			continue
		}
		results.version(name, version)
		found[name] = e
	}
	return found
}
