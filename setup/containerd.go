// containerd and nerdctl: hosts.toml files in certs.d, and CRI told of them.

package setup

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func (p *Plan) containerd(o Options) error {
	path, c, err := o.ownCRI()
	if err != nil {
		return err
	}
	dirs := o.certs()
	if c.configPath != "" && o.HostsDir == "" {
		dirs = o.allAt(filepath.SplitList(c.configPath))
	}
	if dirs, err = p.distinct(dirs); err != nil {
		return err
	}
	if !o.Undo {
		if err := p.named(); err != nil {
			return err
		}
		// Who sets up nodes (CertsOnly) means the containerd of their kubelet.
		if other := o.kubernetes(); other != "" && (o.CertsOnly || o.Config == "" && !o.exists("/etc/containerd")) {
			return fmt.Errorf("%w: the containerd of this machine is %s's, which reads nothing in /etc/containerd: image2ipfs setup %s", ErrConfig, other, other)
		}
	}
	edits, err := p.criEdits(o, c, dirs)
	if err != nil {
		return err
	}
	if err := p.certsDir(dirs); err != nil {
		return err
	}
	changes := len(p.Changes)
	for _, f := range c.files {
		if err := p.textChange(o.at(f.path), f.text, edits[f.path], true); err != nil {
			return err
		}
	}
	if len(p.Changes) > changes {
		p.Next = append(p.Next, o.containerdRestart())
	}
	if !p.Undo {
		p.note("ctr reads no certs.d unless told: ctr images pull --hosts-dir %s NAME:TAG", o.within(dirs[0]))
		p.check = func(ctx context.Context) error { return o.dumps(ctx, path, c) }
	}
	return nil
}

// containerdConfig is the file that containerd reads, as seen from here.
func (o Options) containerdConfig() (string, error) {
	var named string
	if o.Config == "" {
		daemons, err := o.daemons("containerd", "containerd")
		if err != nil {
			return "", err
		}
		named = configFlag(daemons, "--config", "-config", "-c") // its flags may have one dash
	}
	return o.file("/etc/containerd/config.toml", "containerd/config.toml", named), nil
}

func (o Options) containerdRestart() string {
	if o.Rootless {
		return "systemctl --user restart containerd"
	}
	return "sudo systemctl restart containerd   # CRI reads config.toml only then; containers go on running"
}

// criEdits gives the new texts of config.toml and its imports.
func (p *Plan) criEdits(o Options, c criConfig, dirs []string) (map[string][]byte, error) {
	edits := map[string][]byte{}
	for _, f := range c.files {
		edits[f.path] = f.plain
		if o.CertsOnly {
			edits[f.path] = f.text
		}
	}
	switch {
	case p.Undo:
		return edits, nil
	case c.disabled != "":
		p.note("CRI is switched off in %s (disabled_plugins), which stays as it is", c.disabled)
		return edits, nil
	}
	wanted, err := p.wantedPath(o, c, dirs)
	if err != nil || c.target.says(wanted) {
		return edits, err
	}
	f := c.target
	if !o.CertsOnly || !c.written(wanted) {
		if err := c.conflict(o.within(dirs[0])); err != nil {
			return nil, err
		}
	}
	if o.CertsOnly {
		return edits, c.unread(o.Engine, wanted)
	}
	made, err := p.madeLine(o.at(f.path), f.text)
	if err == nil {
		edits[f.path], err = setConfigPath(f.plain, f.version, wanted, made...)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrConfig, f.seen, engineMarks.shifted(f.text, err))
	}
	return edits, nil
}

// written tells whether an earlier setup has told CRI of certs.d.
func (c criConfig) written(dir string) bool {
	whole, err := c.target.whole()
	return err == nil && whole.says(dir)
}

// whole is the file with what setup has put in.
func (f *criFile) whole() (*criFile, error) {
	whole := *f
	_, tree, err := parseTOML(f.text)
	whole.tree = tree
	return &whole, err
}

// unread says what makes CRI read certs.d, unless an earlier setup has written it.
func (c criConfig) unread(engine, dir string) error {
	if c.written(dir) {
		return nil
	}
	f := c.target
	text, err := setConfigPath(f.plain, f.version, dir)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrConfig, f.seen, err)
	}
	fault := "config_path is not set"
	switch {
	case len(filepath.SplitList(c.configPath)) > 1:
		fault = "config_path names several directories, which CRI of containerd 2.1 and later takes for the name of one"
	case c.configPath != "":
		fault = "config_path is set in a table that only some versions of containerd read"
	}
	change := Change{Path: f.path, Before: f.plain, After: text}
	return fmt.Errorf("%w: %s: %s, so CRI reads no certs.d, and certs.d alone is to be written: put this into it and restart containerd (containers go on running), or have image2ipfs setup %s --yes do so on that machine\n%s", ErrConfig, f.path, fault, engine, change.Diff())
}

// nowRead tells of registries that only ctr and nerdctl have read of up to now.
func (p *Plan) nowRead(o Options, dirs []string) {
	for _, dir := range dirs {
		if names := p.registriesIn(o, dir); len(names) > 0 {
			p.note("from the restart on CRI, too, goes by %s for %s", o.within(dir), strings.Join(names, ", "))
		}
	}
}

// registriesIn are the registries of a directory, but for those that it speaks of by
// what setup writes alone.
func (p *Plan) registriesIn(o Options, dir string) []string {
	names, err := o.place().list(dir)
	if err != nil {
		return nil // certsDir says so
	}
	return slices.DeleteFunc(names, func(n string) bool {
		says, err := p.says(filepath.Join(dir, n))
		return slices.Contains(hostsDirs, n) && err == nil && !says
	})
}

// dumps asks containerd for the configuration that it makes of the files.
func (o Options) dumps(ctx context.Context, path string, c criConfig) error {
	program := o.program("containerd")
	if program == nil || c.disabled != "" {
		return nil
	}
	out, err := ask(ctx, program, "--config", o.within(path), "config", "dump")
	if err != nil {
		return fmt.Errorf("containerd does not take the new configuration: %w", err)
	}
	_, tree, err := parseTOML([]byte(out))
	if err != nil {
		return nil // a version that dumps in another way
	}
	set := ""
	for _, table := range [][]string{criV1, oldCRI, newCRI} {
		registry := subtree(tree, table...)
		if value, _ := registry["config_path"].(string); value != "" {
			set = value
		}
		if mirrors, _ := registry["mirrors"].(map[string]any); set != "" && len(mirrors) > 0 {
			return fmt.Errorf("containerd config dump shows registry.mirrors beside config_path, which setup writes into %s: CRI would not load; move them (containerd config dump, [%s.mirrors]) to hosts.toml files first", c.target.path, strings.Join(table, "."))
		}
	}
	if set == "" && (subtree(tree, oldCRI[:2]...) != nil || subtree(tree, newCRI[:2]...) != nil) {
		return fmt.Errorf("containerd config dump shows no config_path: it does not read %s as it is written; set config_path by hand where it does", c.target.path)
	}
	return nil
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
		return o.allAt([]string{filepath.Join(o.configHome(), "containerd/certs.d"), filepath.Join(o.configHome(), "docker/certs.d")})
	}
	return o.allAt([]string{defaultCerts, "/etc/docker/certs.d"})
}

// nerdctl reads certs.d whenever it pulls, so there is nothing to restart.
func (p *Plan) nerdctl(o Options) error {
	if err := p.named(); err != nil {
		return err
	}
	path := o.file("/etc/nerdctl/nerdctl.toml", "nerdctl/nerdctl.toml", o.variable("NERDCTL_TOML"))
	text, err := p.place.read(path)
	if err != nil {
		return err
	}
	var config struct {
		HostsDir []string `toml:"hosts_dir"`
	}
	if err := decodeTOML(text, &config); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrConfig, path, err)
	}
	dirs := o.certs()
	if o.HostsDir == "" && len(config.HostsDir) > 0 {
		dirs = o.allAt(config.HostsDir)
	}
	needed, err := p.neededByCRI(o, dirs)
	if err != nil {
		return err
	}
	if needed != "" {
		p.note("%s stays as it is: setup containerd has written config_path into %s, by which CRI reads it, too: image2ipfs setup containerd --undo takes out both", dirs[0], needed)
		return nil
	}
	return p.certsDir(dirs)
}

// ownCRI is what the files of containerd's own configuration, which is at path, say of CRI.
func (o Options) ownCRI() (path string, c criConfig, err error) {
	if path, err = o.containerdConfig(); err == nil {
		c, err = o.readCRI(o.within(path))
	}
	return path, c, err
}

// neededByCRI is the file in which setup of containerd has told CRI of the directory from
// which that of nerdctl is to be taken; empty for none.
func (p *Plan) neededByCRI(o Options, dirs []string) (string, error) {
	if !p.Undo || o.Config != "" || o.HostsDir != "" {
		return "", nil
	}
	o.Engine = "containerd"
	_, c, err := o.ownCRI()
	if err != nil {
		return "", err
	}
	for _, f := range c.files {
		whole, err := f.whole()
		if err != nil || string(cutBlocks(f.text)) == string(f.text) {
			continue
		}
		if slices.Contains(filepath.SplitList(criConfig{target: whole}.ownPath()), o.within(dirs[0])) {
			return f.seen, nil
		}
	}
	return "", nil
}

// HostsDir is the certs.d that containerd's CRI and nerdctl read on this
// machine, by the configuration that is there now.
func HostsDir(o Options) (string, error) {
	o.Engine = "containerd"
	o, err := o.completed()
	if err != nil {
		return "", err
	}
	_, c, err := o.ownCRI()
	if err != nil {
		return "", err
	}
	if c.configPath != "" && o.HostsDir == "" {
		return o.at(firstDir(c.configPath)), nil
	}
	return o.certs()[0], nil
}

// Stale tells whether what runs of an engine was started before its files were last
// changed, which it reads at its start only; known is false where it cannot be seen,
// because it runs in a container.
func Stale(o Options) (stale, known bool) {
	o, err := o.completed()
	if err != nil {
		return false, false
	}
	files, err := o.readAtStart()
	owner := o.Engine
	if owner == "containerd" {
		owner = ""
	}
	if err != nil || o.Root != "" { // whose processes are not looked at
		return false, false
	}
	daemons := running("/proc", "containerd", owner, o.user())
	if len(daemons) == 0 {
		return false, false
	}
	for _, f := range files {
		info, err := os.Stat(f.seen)
		if err == nil && info.ModTime().After(daemons[0].started) {
			return true, true
		}
	}
	return false, true
}

// readAtStart are the files that an engine's containerd reads when it starts.
func (o Options) readAtStart() ([]*criFile, error) {
	switch o.Engine {
	case "microk8s": // certs.d alone is changed, which is read with each pull
		return nil, nil
	case "k0s":
		c, err := o.k0sCRI()
		return c.files, err
	}
	path, err := o.containerdConfig()
	if err != nil {
		return nil, err
	}
	return o.criFiles(o.within(path))
}

// Restart is the command after which an engine has read its files.
func Restart(engine string) string {
	o := Options{Engine: engine}
	switch engine {
	case "k3s", "rke2":
		if restart, err := o.rancherRestart(); err == nil {
			return restart
		}
	case "microk8s":
		return "sudo snap restart microk8s"
	case "k0s":
		return "sudo k0s stop && sudo k0s start"
	}
	return "sudo systemctl restart " + engine
}
