package engine

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

// Each way in which an engine fails to answer has a next step of its own.
func TestUnreached(t *testing.T) {
	a := advice{start: "START", permit: "PERMIT", another: "ANOTHER"}
	for says, cause := range map[string]error{"PERMIT": fs.ErrPermission, "START": fs.ErrNotExist, "ANOTHER": syscall.ECONNREFUSED} {
		err := unreached("dockerd", "unix:///s", cause, a)
		if !errors.Is(err, ErrNone) || !errors.Is(err, cause) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q in it", err, says)
		}
	}
	if err := unreached("dockerd", "tcp://h", errors.New("other"), a); strings.Contains(err.Error(), "START") {
		t.Error(err)
	}
}

// The service that podman's own command would use is found, and without any the
// user's is named.
func TestPodmanHost(t *testing.T) {
	const system = "/run/podman/podman.sock"
	for _, c := range []struct {
		host, runtime string
		uid           int
		there, want   string
	}{
		{host: "tcp://h:1", want: "tcp://h:1"},
		{uid: 0, want: "unix://" + system},
		{uid: 0, runtime: "/run/user/0", there: system, want: "unix://" + system},
		{uid: 7, want: "unix:///run/user/7/podman/podman.sock"},
		{uid: 7, there: system, want: "unix://" + system},
		{uid: 7, runtime: "/x", there: "/x/podman/podman.sock", want: "unix:///x/podman/podman.sock"},
	} {
		env := func(name string) string {
			return map[string]string{containerHost: c.host, "XDG_RUNTIME_DIR": c.runtime}[name]
		}
		if got := podmanHost(env, c.uid, func(path string) bool { return path == c.there }); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestPodmanBySSH(t *testing.T) {
	if _, err := DialPodman(t.Context(), "ssh://host/run/podman.sock"); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "--podman-host") {
		t.Error(err)
	}
}
