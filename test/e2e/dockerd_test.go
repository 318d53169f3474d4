//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// dockerd is Docker Engine, with its classic store or with containerd's.
type dockerd struct{ docker command }

func (d dockerd) Version(ctx context.Context) (string, error) {
	return d.docker.output(ctx, "info", "--format", "dockerd {{.ServerVersion}}, {{.Driver}}")
}

func (d dockerd) Pull(ctx context.Context, ref, platform string) (image, error) {
	if _, err := d.docker.output(ctx, "pull", "--quiet", "--platform", platform, ref); err != nil {
		return image{}, err
	}
	return inspect(ctx, d.docker, ref)
}

func (d dockerd) Cat(ctx context.Context, ref, file string) (string, error) {
	return d.docker.output(ctx, "run", "--rm", "--network", "none", ref, "/bin/cat", file)
}

func (d dockerd) Remove(ctx context.Context, ref string) error {
	_, err := d.docker.output(ctx, "rmi", "--force", ref)
	return err
}

// inspect asks docker or podman for an image. Its Id is the config's digest
// unless the store is containerd's: then it is the manifest's or the index's.
func inspect(ctx context.Context, c command, ref string) (image, error) {
	out, err := c.output(ctx, "image", "inspect", ref)
	if err != nil {
		return image{}, err
	}
	var found []struct {
		ID          string `json:"Id"`
		RepoDigests []string
		RootFS      struct{ Layers []string }
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil || len(found) != 1 {
		return image{}, fmt.Errorf("inspect %s: expected one image, found %q: %v", ref, out, err)
	}
	got := image{DiffIDs: found[0].RootFS.Layers}
	for _, name := range found[0].RepoDigests {
		_, digest, _ := strings.Cut(name, "@")
		got.Digests = append(got.Digests, digest)
	}
	if id := "sha256:" + strings.TrimPrefix(found[0].ID, "sha256:"); !slices.Contains(got.Digests, id) {
		got.Config = id
	}
	return got, nil
}
