//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// containerd is containerd through its own client, ctr.
type containerd struct{ ctr command }

func (c containerd) Version(ctx context.Context) (string, error) {
	out, err := c.ctr.output(ctx, "version")
	if err != nil {
		return "", err
	}
	_, server, _ := strings.Cut(out, "Server:")
	_, version, _ := strings.Cut(server, "Version:")
	return "containerd " + strings.Fields(version + " unknown")[0], nil
}

func (c containerd) Pull(ctx context.Context, ref, platform string) (image, error) {
	ref = tagged(ref)
	if _, err := c.ctr.output(ctx, "images", "pull", "--platform", platform, ref); err != nil {
		return image{}, err
	}
	target, err := c.target(ctx, ref)
	if err != nil {
		return image{}, err
	}
	blobs := func(digest string) ([]byte, error) {
		return c.ctr.bytes(ctx, "content", "get", digest)
	}
	return resolve(blobs, target, platform)
}

// target returns the digest that containerd's image store has for a name.
func (c containerd) target(ctx context.Context, ref string) (string, error) {
	out, err := c.ctr.output(ctx, "images", "ls", "name=="+ref)
	if err != nil {
		return "", err
	}
	for _, line := range strings.Split(out, "\n") {
		if f := strings.Fields(line); len(f) > 2 && f[0] == ref {
			return f[2], nil
		}
	}
	return "", fmt.Errorf("ctr images ls: expected a line for %s, found %q", ref, out)
}

// Cat runs a container, again if it told nothing: ctr now and then loses what a
// container says that ends at once.
func (c containerd) Cat(ctx context.Context, ref, file string) (text string, err error) {
	for try := 0; try < 5 && text == "" && err == nil; try++ {
		// All engines share one cgroup tree, where a container's id must be unique.
		id := fmt.Sprintf("e2e-%d", time.Now().UnixNano())
		text, err = c.ctr.output(ctx, "run", "--rm", tagged(ref), id, "/bin/cat", file)
	}
	return text, err
}

func (c containerd) Remove(ctx context.Context, ref string) error {
	_, err := c.ctr.output(ctx, "images", "rm", "--sync", tagged(ref))
	return err
}

// tagged adds the tag that containerd, unlike the others, does not supply.
func tagged(ref string) string {
	if strings.Contains(ref[strings.LastIndex(ref, "/")+1:], ":") {
		return ref
	}
	return ref + ":latest"
}
