// Where engines have their files.

package setup

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Rootless tells whether the user has an own engine of that kind, so that its
// files are meant and not the system's.
func Rootless(engine string) bool {
	if os.Geteuid() == 0 || runtime.GOOS == "windows" {
		return false
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	exists := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return dir != "" && err == nil
	}
	switch engine {
	case "docker":
		return exists("docker.sock")
	case "containerd", "nerdctl":
		return exists("containerd-rootless")
	}
	return true
}

// at gives a path of the engine as it is seen from here.
func (o Options) at(path string) string {
	if o.Root == "" {
		return path
	}
	return filepath.Join(o.Root, path)
}

// within gives a path that was read from the file system below o.Root as the
// engine sees it.
func (o Options) within(path string) string {
	if o.Root == "" {
		return path
	}
	rest, ok := strings.CutPrefix(filepath.Clean(path), filepath.Clean(o.Root))
	if !ok || rest == "" {
		return path
	}
	return rest
}

// file is the engine's configuration file, given or where it usually lies.
func (o Options) file(system, user string) string {
	switch {
	case o.Config != "":
		return o.Config
	case o.Rootless:
		return o.at(filepath.Join(o.Home, user))
	}
	return o.at(system)
}

// daemonJSON is dockerd's configuration file.
func (o Options) daemonJSON() string {
	if runtime.GOOS != "linux" && o.Root == "" { // Docker Desktop
		return o.file(filepath.Join(o.Home, ".docker", "daemon.json"), filepath.Join(".docker", "daemon.json"))
	}
	return o.file("/etc/docker/daemon.json", ".config/docker/daemon.json")
}

// readable reads a file of at most maxConfig bytes, nil when there is none.
func readable(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case os.IsNotExist(err):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrConfig, path)
	case info.Size() > maxConfig:
		return nil, fmt.Errorf("%w: %s has %d bytes, more than a configuration ever has", ErrConfig, path, info.Size())
	}
	data, err := os.ReadFile(path)
	if err == nil && data == nil {
		data = []byte{}
	}
	return data, err
}

const maxConfig = 8 << 20
