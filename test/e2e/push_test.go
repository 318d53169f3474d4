//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pusher is a client that pushes an image of an archive by a name.
type pusher struct {
	engine string
	push   func(t *testing.T, c command, ref string) error
}

// dockerPush brings an archive into dockerd and pushes it from there.
func dockerPush(t *testing.T, c command, ref string) error {
	ctx := deadline(t)
	before, err := c.output(ctx, "images", "--format", "{{.Repository}}:{{.Tag}}")
	if err != nil {
		return err
	}
	said, err := loadArchive(t, c, "small.docker20.tar", "load", "--quiet")
	if err != nil {
		return err
	}
	_, name, _ := strings.Cut(said, ": ")
	if _, err := c.output(ctx, "tag", name, ref); err != nil {
		return err
	}
	defer c.output(ctx, "rmi", ref)
	if !slices.Contains(strings.Fields(before), name) {
		// With containerd's store its snapshots would spare later pulls of the same
		// layers the blobs, and dockerd then shows images without layers.
		defer c.output(ctx, "rmi", "--force", name)
	}
	_, err = c.output(ctx, "push", ref)
	return err
}

// Whatever client people have pushes, and what it pushed is pulled by its tag and by
// the CID that it became, also from the next server.
func TestPush(t *testing.T) {
	p := newProgram(t)
	addr, push := freeAddr(t), freeAddr(t)
	args := []string{"--push", push}
	s := p.serve(t, addr, args...)
	layout := "oci:" + archivePath(t, "small.skopeo") + ":small:1"
	pushers := []pusher{
		{"dockerd20", dockerPush},
		{"dockerd28", dockerPush},
		{"skopeo", func(t *testing.T, c command, ref string) error {
			_, err := c.output(deadline(t), "copy", "--all", "--dest-tls-verify=false", layout, "docker://"+ref)
			return err
		}},
		{"crane", func(t *testing.T, c command, ref string) error {
			_, err := c.output(deadline(t), "push", "--insecure", archivePath(t, "small.skopeo-docker.tar"), ref)
			return err
		}},
		{"regctl", func(t *testing.T, c command, ref string) error {
			_, err := c.output(deadline(t), "--host", "reg="+push+",tls=disabled", "image", "copy", push+"/skopeo:1", ref)
			return err
		}},
	}
	var names []string
	for _, client := range pushers {
		c := commandFor(client.engine)
		if c == nil {
			missing(t, client.engine, "not there")
			continue
		}
		name := client.engine + ":1"
		if err := client.push(t, c, push+"/"+name); err != nil {
			t.Errorf("%s: %v", client.engine, err)
			continue
		}
		names = append(names, name)
		results.progress("%s has pushed", client.engine)
	}
	checkPushed(t, p, addr, push, names)
	s.stop(t)
	p.serve(t, addr, args...)
	checkPushed(t, p, addr, push, names)
	if crane := commandFor("crane"); crane != nil && len(names) > 0 {
		if _, err := crane.output(deadline(t), "pull", "--insecure", push+"/"+names[0], filepath.Join(t.TempDir(), "back.tar")); err != nil {
			t.Error(err)
		}
	}
}

// checkPushed pulls each name that was pushed, and the CID that it became.
func checkPushed(t *testing.T, p program, addr, push string, names []string) {
	t.Helper()
	for _, name := range names {
		ciq, err := p.command().output(deadline(t), "ref", "-f", "ciq", name)
		if err != nil {
			t.Error(err)
			continue
		}
		pushed := registry{program: p, server: &server{addr: push}}
		cid := registry{program: p, server: &server{addr: addr}}
		repository := strings.TrimSuffix(name, ":1")
		if a, b := pushed.check(t, push+"/"+name), cid.check(t, fmt.Sprintf("%s/%s/%s", addr, ciq, repository)); a != b {
			t.Errorf("%s is %s by its name and %s by its CID", name, a, b)
		}
		if _, err := p.command().output(deadline(t), "verify", name); err != nil {
			t.Error(err)
		}
	}
}
