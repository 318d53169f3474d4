//go:build e2e

// `image2ipfs pull` where the engine cannot pull by itself what was asked for:
// one image of an index by its digest, or a dockerd that is far away.

package e2e

import (
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"
)

// TestNativePinned pulls one image of an index by its digest: that one must
// arrive, whatever has the tag.
func TestNativePinned(t *testing.T) {
	engines := findEngines(t)
	f := publishFar(t, "platforms.buildkit.tar")
	pinned := below(t, f, host)
	for _, name := range []string{"dockerd20", "dockerd28", "containerd16", "containerd2"} {
		e, ok := engines[name]
		if !ok {
			continue
		}
		t.Run(name, func(t *testing.T) {
			args := append([]string{"pull", "--quiet", "--gateway", f.gateway}, targetOf(name)...)
			arrived, err := newProgram(t).command().output(deadline(t), append(args, f.name+"@"+pinned)...)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(arrived, strings.TrimPrefix(pinned, "sha256")[:13]) {
				t.Errorf("it arrived as %s", arrived)
			}
			got, err := held(deadline(t), e, arrived)
			if err != nil {
				t.Fatal(err)
			}
			want := f.want
			want.Digests = []string{pinned}
			compareHeld(t, got, want)
			if err := e.Remove(deadline(t), arrived); err != nil {
				t.Error(err)
			}
		})
	}
}

// below is the digest of the manifest for a platform in an archive of one index.
func below(t *testing.T, f far, platform string) string {
	t.Helper()
	src, err := readSource(archivePath(t, f.archive.file))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := src.blob(f.want.Digests[0])
	if err != nil {
		t.Fatal(err)
	}
	var index document
	if err := json.Unmarshal(raw, &index); err != nil {
		t.Fatal(err)
	}
	for _, m := range index.Manifests {
		if m.Platform.is(platform) {
			return m.Digest
		}
	}
	t.Fatalf("%s has nothing for %s", f.archive.file, platform)
	return ""
}

// TestNativeFar pulls into dockerds that are reached by TCP, as those on other
// machines are.
func TestNativeFar(t *testing.T) {
	f := publishFar(t, "platforms.buildkit.tar")
	for _, name := range []string{"dockerd20", "dockerd28"} {
		c := commandFor(name)
		if c == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			addr := forward(t, socketOf(c))
			arrived, err := newProgram(t).command().output(deadline(t), "pull", "--quiet", "--gateway", f.gateway, "--to", "docker", "--docker-host", "tcp://"+addr, f.name)
			if err != nil {
				t.Fatal(err)
			}
			d := dockerd{c}
			if text, err := d.Cat(deadline(t), arrived, "/etc/message"); err != nil || text != message(f.archive.names[0]) {
				t.Errorf("/etc/message of %s: %q (%v)", arrived, text, err)
			}
			if err := d.Remove(deadline(t), arrived); err != nil {
				t.Error(err)
			}
		})
	}
}

// forward gives a TCP address that leads to a socket.
func forward(t *testing.T, socket string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := net.Dial("unix", socket)
				if err != nil {
					return
				}
				defer out.Close()
				go func() {
					_, _ = io.Copy(out, in)
					_ = out.(*net.UnixConn).CloseWrite()
				}()
				_, _ = io.Copy(in, out)
			}()
		}
	}()
	return l.Addr().String()
}
