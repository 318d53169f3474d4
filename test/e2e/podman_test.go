//go:build e2e

package e2e

import "context"

// podman is podman with a store of its own.
type podman struct{ podman command }

func (p podman) Version(ctx context.Context) (string, error) {
	return p.podman.output(ctx, "version", "--format", "podman {{.Client.Version}}")
}

func (p podman) Pull(ctx context.Context, ref, platform string) (image, error) {
	_, err := p.podman.output(ctx, "pull", "--quiet", "--tls-verify=false", "--platform", platform, ref)
	if err != nil {
		return image{}, err
	}
	return inspect(ctx, p.podman, ref)
}

func (p podman) Cat(ctx context.Context, ref, file string) (string, error) {
	return p.podman.output(ctx, "run", "--rm", "--network", "none", ref, "/bin/cat", file)
}

func (p podman) Remove(ctx context.Context, ref string) error {
	_, err := p.podman.output(ctx, "rmi", "--force", ref)
	return err
}
