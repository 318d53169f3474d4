// What earlier setups have written where today's configuration does not lead.

package setup

import (
	"bytes"
	"path/filepath"
	"slices"
)

// usual are the files that setup of an engine writes where nothing leads elsewhere, and
// the flag by which it is led to them.
func (o Options) usual() (files map[string][]string) {
	var config, certs []string
	xdg := o.configHome()
	choose := func(system, user []string) []string {
		if o.Rootless {
			return user
		}
		return system
	}
	switch o.Engine {
	case "docker":
		config = choose([]string{"/etc/docker/daemon.json", snapDocker}, []string{xdg + "/docker/daemon.json"})
	case "containerd", "nerdctl":
		if o.Engine == "containerd" && !o.CertsOnly {
			config = choose([]string{"/etc/containerd/config.toml", "/etc/containerd/conf.d/*.toml"}, []string{xdg + "/containerd/config.toml"})
		}
		certs = choose([]string{defaultCerts, "/etc/docker/certs.d"}, []string{xdg + "/containerd/certs.d", xdg + "/docker/certs.d"})
	case "podman":
		own := filepath.Join(o.Home, ".config/containers/registries.conf")
		config = choose([]string{"/etc/containers/registries.conf", "/etc/containers/registries.conf.d/*.conf", own, own + ".d/*.conf"}, []string{own, own + ".d/*.conf"})
	case "k3s", "rke2":
		config = []string{"/etc/rancher/" + o.Engine + "/registries.yaml"}
	}
	files = map[string][]string{"--config": config}
	for _, dir := range certs {
		for _, name := range hostsDirs {
			files["--hosts-dir"] = append(files["--hosts-dir"], filepath.Join(dir, name, "hosts.toml"))
		}
	}
	return files
}

// elsewhere tells of what an earlier setup has written and the undo does not find, since
// the configuration leads to other files than it did then.
func (p *Plan) elsewhere(o Options) {
	for flag, patterns := range o.usual() {
		for _, pattern := range patterns {
			paths, err := o.glob(pattern)
			if err != nil {
				continue // nothing that setup has written
			}
			for _, path := range paths {
				if p.left(o, path) {
					p.note("%s has what setup has put in, too, and is not where the configuration leads today: image2ipfs setup %s --undo %s %s", o.at(path), o.Engine, flag, o.at(argument(flag, path)))
				}
			}
		}
	}
	slices.Sort(p.Notes)
}

// left tells whether a file has something of setup in it that this plan leaves.
func (p *Plan) left(o Options, path string) bool {
	real, err := p.place.real(o.at(path))
	if err != nil || slices.ContainsFunc(p.Changes, func(c Change) bool { return c.target == real }) {
		return false
	}
	if o.Engine == "docker" {
		record, _, err := p.readRecord(o.at(path))
		return err == nil && record != nil
	}
	text, err := o.read(path)
	return err == nil && !bytes.Equal(o.marks().cut(text), text)
}

// argument is what a flag wants to lead setup to a file.
func argument(flag, path string) string {
	dir := filepath.Dir(path)
	switch {
	case flag == "--hosts-dir":
		return filepath.Dir(dir)
	case filepath.Ext(dir) == ".d" && filepath.Ext(path) == ".conf": // podman's
		return dir[:len(dir)-len(".d")]
	}
	return path
}
