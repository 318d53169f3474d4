// Package containerdconf writes the configuration of a containerd that a test
// or a benchmark starts for itself.
package containerdconf

import (
	"fmt"
	"os"
	"path/filepath"
)

// Write makes dir/config.toml for a containerd whose state lies in dir and that
// listens on socket; it has no CRI, which would set up networks.
func Write(dir string) (socket, config string, err error) {
	socket, config = filepath.Join(dir, "sock"), filepath.Join(dir, "config.toml")
	return socket, config, os.WriteFile(config, fmt.Appendf(nil, `version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = %q
[ttrpc]
address = %q
`, filepath.Join(dir, "root"), filepath.Join(dir, "state"), socket, socket+".ttrpc"), 0o644)
}
