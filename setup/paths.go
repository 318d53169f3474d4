// Where engines have their files. A path that an engine names is one below
// [Options.Root] here.

package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
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
	case "podman":
		return true
	}
	return false
}

// user is the number of the user whose engine is meant: root, or, without root, this
// process's, or the one whose the home directory is that was given.
func (o Options) user() int {
	if !o.Rootless {
		return 0
	}
	if info, err := os.Stat(o.Home); err == nil && !o.ownHome && o.Home != "" {
		return userOf(info)
	}
	return os.Geteuid()
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
	rest, ok := below(o.Root, path)
	if !ok {
		return path
	}
	return filepath.Join(string(filepath.Separator), rest)
}

// read, glob and exists take paths of the engine.
func (o Options) read(path string) ([]byte, error) { return o.place().read(o.at(path)) }
func (o Options) exists(path string) bool          { return o.place().exists(o.at(path)) }
func (o Options) place() place                     { return place{o.Root} }
func (o Options) glob(pattern string) (f []string, e error) {
	f, e = o.place().glob(o.at(pattern))
	for i := range f {
		f[i] = o.within(f[i])
	}
	return f, e
}

// configHome is where the user's programs have their configuration
// (XDG Base Directory Specification).
func (o Options) configHome() string {
	if dir := os.Getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) && o.Root == "" && o.ownHome {
		return dir
	}
	return filepath.Join(o.Home, ".config")
}

// file is the engine's configuration file as seen from here: given, or the first
// of these that is not empty, or where it usually lies.
func (o Options) file(system, user string, named ...string) string {
	if o.Config != "" {
		return o.Config
	}
	for _, path := range named {
		if path != "" {
			return o.at(path)
		}
	}
	if o.Rootless {
		return o.at(filepath.Join(o.configHome(), user))
	}
	return o.at(system)
}

// variable is an environment variable that engines of this machine read, too.
func (o Options) variable(name string) string {
	if path := os.Getenv(name); filepath.IsAbs(path) && o.Root == "" {
		return path
	}
	return ""
}

// readable reads a file of at most maxConfig bytes, nil when there is none.
func readable(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
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
