// K3s and RKE2: what they are started with, and the files that follow from it.

package setup

import (
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// registriesYAML edits what k3s and RKE2 make certs.d of at each start.
func (p *Plan) registriesYAML(o Options) error {
	if err := p.named(); err != nil {
		return err
	}
	path, err := o.registriesPath()
	if err != nil {
		return err
	}
	text, err := p.place.read(path)
	if err != nil {
		return err
	}
	after := cutBlocks(text)
	if !p.Undo {
		made, err := p.madeLine(path, text)
		if err != nil {
			return err
		}
		if err := o.rancherTemplate(); err != nil {
			return err
		}
		alone, err := o.noDefaultEndpoint()
		if err != nil {
			return err
		}
		after, err = addEndpoint(after, p.Server, alone, made...)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrConfig, path, engineMarks.shifted(text, err))
		}
	}
	restart, err := o.rancherRestart()
	if err != nil {
		return err
	}
	p.Next = []string{restart + "   # containers go on running"}
	return p.textChange(path, text, after, p.Undo)
}

// rancherRestart restarts what runs K3s or RKE2 here: an agent or a server, by systemd or
// OpenRC.
func (o Options) rancherRestart() (string, error) {
	daemons, err := o.rancherDaemons()
	if err != nil {
		return "", err
	}
	unit := o.Engine
	if len(daemons) > 0 && len(daemons[0].argv) > 1 && daemons[0].argv[1] == "agent" {
		unit += "-agent"
	} else if o.Engine == "rke2" {
		unit += "-server"
	}
	if files, err := o.unitFiles(unit + ".service"); err == nil && len(files) == 0 && o.exists("/etc/init.d/"+unit) {
		return "sudo rc-service " + unit + " restart", nil
	}
	return "sudo systemctl restart " + unit, nil
}

func (o Options) rancherDaemons() ([]daemon, error) {
	return o.daemons(o.Engine, o.Engine, o.Engine+"-server", o.Engine+"-agent")
}

// rancherConfig are the files that K3s or RKE2 reads, in the order in which they
// count: config.yaml, or the file that --config or a variable names, and those beside it
// in a directory that ends with .d (configfilearg of K3s).
func (o Options) rancherConfig(daemons []daemon) ([]string, error) {
	main := o.within(o.Config)
	if o.Config == "" || !o.stargz { // of setup k3s that is registries.yaml
		named, _ := variableOf(daemons, o.rancherVariable("CONFIG_FILE"))
		main = cmp.Or(configFlag(daemons, "--config", "-c"), named, "/etc/rancher/"+o.Engine+"/config.yaml")
	}
	paths, err := o.glob(main + ".d/*")
	paths = slices.DeleteFunc(paths, func(path string) bool {
		ending := strings.ToLower(filepath.Ext(path))
		return ending != ".yaml" && ending != ".yml" || o.place().isDir(o.at(path))
	})
	return append([]string{main}, paths...), err
}

// rancherVariable is the name of an environment variable of K3s or RKE2.
func (o Options) rancherVariable(name string) string {
	return strings.ToUpper(o.Engine) + "_" + name
}

// rancherSettings are settings of K3s or RKE2 that setup goes by.
type rancherSettings struct {
	Registry    string `yaml:"private-registry"`
	DataDir     string `yaml:"data-dir"`
	Snapshotter string `yaml:"snapshotter"`
	NoDefault   any    `yaml:"disable-default-registry-endpoint"`
}

// rancherSetting is one of the settings, empty for none, and where it is made: by the
// command line, else by a variable, else by the last of the files that has it.
func (o Options) rancherSetting(of func(rancherSettings) string, variable string, flags ...string) (value, where string, err error) {
	daemons, err := o.rancherDaemons()
	if err != nil {
		return "", "", err
	}
	for _, d := range daemons {
		if values := d.flag(flags...); len(values) > 0 {
			return values[len(values)-1], d.where, nil
		}
	}
	if value, where = variableOf(daemons, o.rancherVariable(variable)); variable != "" && value != "" {
		return value, where, nil
	}
	paths, err := o.rancherConfig(daemons)
	if err != nil {
		return "", "", err
	}
	for _, path := range slices.Backward(paths) {
		text, err := o.read(path)
		if err != nil {
			return "", "", err
		}
		var config rancherSettings
		if err := yaml.Unmarshal(text, &config); err != nil {
			return "", "", fmt.Errorf("%w: %s: not YAML, or no keys and values: %w", ErrConfig, o.at(path), err)
		}
		if value := of(config); value != "" {
			return value, filepath.Clean(o.at(path)), nil
		}
	}
	return "", "", nil
}

// rancherTemplate refuses a template of the user's by which containerd does not read the
// certs.d that K3s or RKE2 makes of registries.yaml.
func (o Options) rancherTemplate() error {
	certs, err := o.rancherCerts()
	if err != nil {
		return err
	}
	for _, name := range []string{"config-v3.toml.tmpl", "config.toml.tmpl"} {
		path := filepath.Join(filepath.Dir(certs), name)
		text, err := o.place().read(path)
		if err != nil {
			return err
		}
		value, given := templatePath(text)
		if text == nil || takesBase.Match(text) || given && (strings.Contains(value, "{{") || firstDir(value) == o.within(certs)) {
			continue
		}
		return fmt.Errorf("%w: %s: with this template containerd does not read what is made of registries.yaml: write {{ template \"base\" . }} at its beginning, or config_path = %q in the registry table, with no registry.mirrors beside it, and run setup again", ErrConfig, path, o.within(certs))
	}
	return nil
}

// takesBase finds where a template takes over that of K3s.
var takesBase = regexp.MustCompile(`{{-?\s*template\s+"base"`)

// noDefaultEndpoint tells whether K3s or RKE2 asks a registry itself only where it has no
// mirror (disable-default-registry-endpoint).
func (o Options) noDefaultEndpoint() (bool, error) {
	const flag = "--disable-default-registry-endpoint"
	daemons, err := o.rancherDaemons()
	if err != nil {
		return false, err
	}
	for _, d := range daemons {
		for _, arg := range slices.Backward(d.argv) {
			if name, value, given := strings.Cut(arg, "="); name == flag {
				return !given || yes(value), nil
			}
		}
	}
	value, _, err := o.rancherSetting(func(s rancherSettings) string {
		if s.NoDefault == nil {
			return ""
		}
		return fmt.Sprint(s.NoDefault)
	}, "")
	return yes(value), err
}

// yes tells whether a switch is on, as K3s reads it.
func yes(value string) bool {
	on, err := strconv.ParseBool(value)
	return on && err == nil
}

// registriesPath is registries.yaml, or what private-registry names.
func (o Options) registriesPath() (string, error) {
	named, _, err := o.rancherSetting(func(s rancherSettings) string { return s.Registry }, "", "--private-registry")
	return o.file("/etc/rancher/"+o.Engine+"/registries.yaml", "", named), err
}

// rancherCerts is the certs.d that K3s or RKE2 writes at each start.
func (o Options) rancherCerts() (string, error) {
	dir, _, err := o.rancherSetting(func(s rancherSettings) string { return s.DataDir }, "DATA_DIR", "--data-dir", "-d")
	return o.at(filepath.Join(cmp.Or(dir, "/var/lib/rancher/"+o.Engine), "agent/etc/containerd/certs.d")), err
}
