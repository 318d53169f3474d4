// Kubernetes distributions that bring a containerd of their own, which reads
// nothing in /etc/containerd.

package setup

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// distributions are where one sees that a distribution is installed.
var distributions = []struct{ name, path string }{
	{"rke2", "/var/lib/rancher/rke2"},
	{"k3s", "/var/lib/rancher/k3s"},
	{"k3s", "/etc/rancher/k3s"},
	{"rke2", "/etc/rancher/rke2"},
	{"microk8s", "/var/snap/microk8s"},
	{"k0s", "/var/lib/k0s"},
	{"k0s", "/etc/k0s"},
}

// kubernetes is the distribution that is installed, empty when there is none.
func (o Options) kubernetes() string {
	for _, d := range distributions {
		if o.exists(d.path) {
			return d.name
		}
	}
	return ""
}

// Kubernetes tells which distribution with a containerd of its own is installed on
// this machine: "k3s", "rke2", "microk8s", "k0s", or "" for none.
func Kubernetes() string { return Options{}.kubernetes() }

const (
	microk8sArgs     = "/var/snap/microk8s/current/args"
	microk8sTemplate = microk8sArgs + "/containerd-template.toml"
	k0sDropIns       = "/etc/k0s/containerd.d"
	k0sConfig        = "/etc/k0s/containerd.toml"
)

// CertsDir is the certs.d that the containerd of an engine reads, as [HostsDir]
// finds it for containerd itself. K3s and RKE2 write theirs at each start.
func CertsDir(engine string, o Options) (string, error) {
	switch engine {
	case "k3s", "rke2":
		o.Engine = engine
		return o.rancherCerts()
	case "microk8s":
		dirs, err := o.microk8sCerts()
		return append(dirs, "")[0], err
	case "k0s":
		c, err := o.k0sCRI()
		if err != nil || c.configPath == "" {
			return o.at(defaultCerts), err
		}
		return o.at(firstDir(c.configPath)), nil
	}
	return HostsDir(o)
}

// setsConfigPath finds the line of a template, but no comment, that sets config_path.
var setsConfigPath = regexp.MustCompile(`(?m)^[ \t]*"?config_path"?[ \t]*=[ \t]*(.*?)[ \t]*(?:#.*)?\r?$`)

// templatePath is the value of config_path in a template, without quotes; given is false
// where it is not set.
func templatePath(text []byte) (value string, given bool) {
	found := setsConfigPath.FindSubmatch(text)
	if found == nil {
		return "", false
	}
	return strings.Trim(string(found[1]), `"'`), true
}

// microk8sCerts are the directories that the template of MicroK8s names.
func (o Options) microk8sCerts() ([]string, error) {
	text, err := o.read(microk8sTemplate)
	value, given := templatePath(text)
	value = strings.ReplaceAll(value, "${SNAP_DATA}", "/var/snap/microk8s/current")
	dirs := filepath.SplitList(value)
	switch {
	case err != nil || text == nil:
		return []string{o.at(microk8sArgs + "/certs.d")}, err
	case !given || len(dirs) == 0:
		return nil, fmt.Errorf("%w: %s has no config_path: MicroK8s before 1.23 wants the mirror there by hand, below registry.mirrors.\"docker.io\"", ErrConfig, microk8sTemplate)
	}
	for _, dir := range dirs {
		if !filepath.IsAbs(dir) || strings.Contains(dir, "$") {
			return nil, fmt.Errorf("%w: %s: config_path is %q, of which setup does not know where that is: write ${SNAP_DATA}/args/certs.d, or a whole path", ErrConfig, microk8sTemplate, value)
		}
	}
	return o.allAt(dirs), nil
}

// microk8s reads its certs.d whenever it pulls.
func (p *Plan) microk8s(o Options) error {
	if err := p.named(); err != nil {
		return err
	}
	dirs, err := o.microk8sCerts()
	if err != nil && p.Undo {
		dirs, err = []string{o.at(microk8sArgs + "/certs.d")}, nil
	}
	if err != nil {
		return err
	}
	return p.certsDir(dirs)
}

// k0sCRI reads k0s's own files: what the user manages, or drop-ins.
func (o Options) k0sCRI() (c criConfig, err error) {
	text, err := o.read(k0sConfig)
	if err != nil {
		return c, err
	}
	if text != nil && !bytes.Contains(text, []byte("k0s_managed=true")) {
		return o.readCRI(k0sConfig)
	}
	version := int64(2)
	if f, err := o.criFile("/run/k0s/containerd-cri.toml"); err == nil && f.version > 2 {
		version = f.version // of the containerd that this k0s brings
	}
	own := filepath.Join(k0sDropIns, "image2ipfs.toml")
	paths, err := o.glob(k0sDropIns + "/*.toml")
	if err != nil {
		return c, err
	}
	known := map[string]*criFile{}
	for _, path := range append(slices.DeleteFunc(paths, func(p string) bool { return p == own }), own) {
		f, err := o.onlyFile(known, path)
		if err != nil {
			return c, err
		}
		if path == own && f.plain == nil {
			f.version = version
		}
		f.asOne(version)
		for _, table := range f.tables() {
			if value, _ := subtree(f.tree, table...)["config_path"].(string); value != "" {
				c.configPath, c.target = value, f
			}
		}
		c.files = append(c.files, f)
	}
	if c.target == nil {
		c.target = c.files[len(c.files)-1]
	}
	return c, nil
}

// k0s takes drop-ins over by itself.
func (p *Plan) k0s(o Options) error {
	if err := p.named(); err != nil {
		return err
	}
	c, err := o.k0sCRI()
	if err != nil {
		return err
	}
	dir, err := CertsDir("k0s", o)
	if err != nil {
		return err
	}
	edits, err := p.criEdits(o, c, []string{dir})
	if err != nil {
		return err
	}
	if err := p.certsDir([]string{dir}); err != nil {
		return err
	}
	for _, f := range c.files {
		changes := len(p.Changes)
		if err := p.textChange(o.at(f.path), f.text, edits[f.path], true); err != nil {
			return err
		}
		switch {
		case len(p.Changes) == changes:
		case f.path == k0sConfig:
			p.Next = []string{"sudo k0s stop && sudo k0s start   # it reads the file only then; containers go on running"}
		default:
			p.note("k0s restarts its containerd by itself; before 1.27, and where pulls do not change, do it by hand: sudo k0s stop && sudo k0s start")
		}
	}
	return nil
}
