// containerd and nerdctl: hosts.toml files in certs.d, and CRI told of them.

package setup

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

func (p *Plan) containerd(o Options) error {
	path := o.file("/etc/containerd/config.toml", ".config/containerd/config.toml")
	text, err := readable(path)
	if err != nil {
		return err
	}
	after, dirs, err := p.configTOML(o, text)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrConfig, path, err)
	}
	if err := p.certsDir(dirs); err != nil {
		return err
	}
	changes := len(p.Changes)
	if err := p.textChange(path, text, after, p.Undo); err != nil {
		return err
	}
	if len(p.Changes) > changes {
		if o.Rootless {
			p.Next = append(p.Next, "systemctl --user restart containerd")
		} else {
			p.Next = append(p.Next, "sudo systemctl restart containerd   # CRI reads config.toml only then; containers go on running")
		}
	}
	if !p.Undo {
		p.note("ctr reads no certs.d unless told: ctr images pull --hosts-dir %s NAME:TAG", o.within(dirs[0]))
	}
	return nil
}

// configTOML edits config.toml and says in which directories containerd then
// looks for hosts.toml files, as seen from here.
func (p *Plan) configTOML(o Options, text []byte) (after []byte, dirs []string, err error) {
	_, tree, err := parseTOML(text)
	if err != nil {
		return nil, nil, err
	}
	now, err := readCRI(tree, text != nil)
	dirs = o.certs()
	if now.configPath != "" && o.HostsDir == "" {
		dirs = o.allAt(filepath.SplitList(now.configPath))
	}
	plain := cutBlocks(text)
	if p.Undo {
		return plain, dirs, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if now.disabled {
		p.note("CRI is switched off in config.toml (disabled_plugins), which stays as it is")
		return text, dirs, nil
	}
	if text != nil && blank(plain) && !blank(text) {
		plain = nil // made by an earlier setup
	}
	var seen []string
	for _, dir := range dirs {
		seen = append(seen, o.within(dir))
	}
	if after, err = setConfigPath(plain, strings.Join(seen, ":")); err != nil {
		return nil, nil, err
	}
	if string(after) == string(plain) && o.at(firstDir(now.configPath)) != dirs[0] {
		return nil, nil, fmt.Errorf("config_path is %q there, not %s", now.configPath, dirs[0])
	}
	return after, dirs, nil
}

// firstDir is the first directory of a config_path.
func firstDir(list string) string { return append(filepath.SplitList(list), "")[0] }

// allAt gives paths of the engine as they are seen from here.
func (o Options) allAt(paths []string) []string {
	var seen []string
	for _, path := range paths {
		seen = append(seen, o.at(path))
	}
	return seen
}

// certs are the directories that are searched unless a configuration names
// others: nerdctl's default, and containerd's since 2.2.
func (o Options) certs() []string {
	switch {
	case o.HostsDir != "":
		return []string{o.HostsDir}
	case o.Config != "" && o.Engine == "containerd":
		return []string{filepath.Join(filepath.Dir(o.Config), "certs.d")}
	case o.Rootless:
		return o.allAt([]string{filepath.Join(o.Home, ".config/containerd/certs.d"), filepath.Join(o.Home, ".config/docker/certs.d")})
	}
	return o.allAt([]string{defaultCerts, "/etc/docker/certs.d"})
}

// nerdctl reads certs.d whenever it pulls, so there is nothing to restart.
func (p *Plan) nerdctl(o Options) error {
	path := o.file("/etc/nerdctl/nerdctl.toml", ".config/nerdctl/nerdctl.toml")
	text, err := readable(path)
	if err != nil {
		return err
	}
	var config struct {
		HostsDir []string `toml:"hosts_dir"`
	}
	if err := toml.Unmarshal(text, &config); err != nil {
		return fmt.Errorf("%w: %s: not TOML: %w", ErrConfig, path, err)
	}
	dirs := o.certs()
	if o.HostsDir == "" && len(config.HostsDir) > 0 {
		dirs = o.allAt(config.HostsDir)
	}
	return p.certsDir(dirs)
}

// HostsDir is the certs.d that containerd's CRI and nerdctl read on this
// machine, by the configuration that is there now.
func HostsDir(o Options) (string, error) {
	o.Engine = "containerd"
	text, err := readable(o.file("/etc/containerd/config.toml", ".config/containerd/config.toml"))
	if err != nil {
		return "", err
	}
	_, tree, err := parseTOML(text)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if c, err := readCRI(tree, text != nil); err == nil && c.configPath != "" && o.HostsDir == "" {
		return o.at(firstDir(c.configPath)), nil
	}
	return o.certs()[0], nil
}
