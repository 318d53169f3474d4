package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const podmanName = "podman"

// containerHost is the environment variable of podman for where its service is.
const containerHost = "CONTAINER_HOST"

// DialPodman connects to the podman service at host, by the API that it shares with
// dockerd; empty means $CONTAINER_HOST, or else the user's own service, or that of
// the machine. The error matches [ErrNone] when none answers.
func DialPodman(ctx context.Context, host string) (*Docker, error) {
	if host == "" {
		host = podmanHost(os.Getenv, os.Getuid(), exists)
	}
	if strings.HasPrefix(host, "ssh://") {
		return nil, fmt.Errorf("%w: podman at %s: connections by ssh are not made here: forward its socket (ssh -L /tmp/podman.sock:/run/podman/podman.sock HOST), and say --podman-host unix:///tmp/podman.sock", ErrNone, host)
	}
	start := "systemctl --user start podman.socket starts its service"
	if os.Getuid() == 0 {
		start = "systemctl start podman.socket starts its service"
	}
	return dialDocker(ctx, podmanName, host, advice{
		start:   start + ", so does podman system service --time=0",
		permit:  "start your own (systemctl --user start podman.socket), or use sudo",
		another: "$" + containerHost + " or --podman-host",
	})
}

// podmanHost is where the service of podman is by the environment of a user: the
// first socket that is there, else the first that could be.
func podmanHost(env func(string) string, uid int, there func(path string) bool) string {
	if host := env(containerHost); host != "" {
		return host
	}
	var sockets []string
	if dir := env("XDG_RUNTIME_DIR"); dir != "" && uid != 0 {
		sockets = append(sockets, filepath.Join(dir, "podman", "podman.sock"))
	}
	if uid > 0 {
		sockets = append(sockets, filepath.Join("/run/user", strconv.Itoa(uid), "podman", "podman.sock"))
	}
	sockets = append(sockets, "/run/podman/podman.sock")
	for _, s := range sockets {
		if there(s) {
			return "unix://" + s
		}
	}
	return "unix://" + sockets[0]
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
