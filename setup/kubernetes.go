// Kubernetes distributions that bring a containerd of their own, which reads
// nothing in /etc/containerd.

package setup

import (
	"bytes"
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
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
	microk8sArgs = "/var/snap/microk8s/current/args"
	k0sDropIns   = "/etc/k0s/containerd.d"
	k0sConfig    = "/etc/k0s/containerd.toml"
)

// CertsDir is the certs.d that the containerd of an engine reads, as [HostsDir]
// finds it for containerd itself. K3s and RKE2 write theirs at each start.
func CertsDir(engine string, o Options) (string, error) {
	switch engine {
	case "k3s", "rke2":
		return o.at("/var/lib/rancher/" + engine + "/agent/etc/containerd/certs.d"), nil
	case "microk8s":
		return o.at(microk8sArgs + "/certs.d"), nil
	case "k0s":
		c, err := o.k0sCRI()
		if err != nil || c.configPath == "" {
			return o.at(defaultCerts), err
		}
		return o.at(firstDir(c.configPath)), nil
	}
	return HostsDir(o)
}

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
		if err == nil {
			after, err = addEndpoint(after, p.Server, made...)
		}
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrConfig, path, err)
		}
	}
	unit, err := o.kubernetesUnit()
	if err != nil {
		return err
	}
	p.Next = []string{"sudo systemctl restart " + unit + "   # containers go on running"}
	return p.textChange(path, text, after, p.Undo)
}

// kubernetesUnit is the unit by which K3s or RKE2 runs here: an agent's or a server's.
func (o Options) kubernetesUnit() (string, error) {
	daemons, err := o.kubernetesDaemons()
	if err != nil {
		return "", err
	}
	if len(daemons) > 0 && len(daemons[0].argv) > 1 && daemons[0].argv[1] == "agent" {
		return o.Engine + "-agent", nil
	}
	if o.Engine == "rke2" {
		return "rke2-server", nil
	}
	return o.Engine, nil
}

func (o Options) kubernetesDaemons() ([]daemon, error) {
	return o.daemons(o.Engine, o.Engine, o.Engine+"-server", o.Engine+"-agent")
}

// kubernetesConfig are the files that K3s or RKE2 reads, in the order in which they
// count: config.yaml, or the file that --config names, and those beside it in a
// directory that ends with .d.
func (o Options) kubernetesConfig() ([]string, error) {
	daemons, err := o.kubernetesDaemons()
	if err != nil {
		return nil, err
	}
	main := cmp.Or(configFlag(daemons, "--config", "-c"), "/etc/rancher/"+o.Engine+"/config.yaml")
	paths, err := o.glob(main + ".d/*.yaml")
	return append([]string{main}, paths...), err
}

// registriesPath is registries.yaml, or what --private-registry names on the
// command line or in the configuration, of which the last file counts.
func (o Options) registriesPath() (string, error) {
	daemons, err := o.kubernetesDaemons()
	if err != nil {
		return "", err
	}
	paths, err := o.kubernetesConfig()
	if err != nil {
		return "", err
	}
	registry := ""
	for _, path := range paths {
		text, err := o.read(path)
		if err != nil {
			return "", err
		}
		var config struct {
			Registry string `yaml:"private-registry"`
		}
		if err := yaml.Unmarshal(text, &config); err != nil {
			return "", fmt.Errorf("%w: %s: %w", ErrConfig, path, err)
		}
		registry = cmp.Or(config.Registry, registry)
	}
	return o.file("/etc/rancher/"+o.Engine+"/registries.yaml", "", configFlag(daemons, "--private-registry"), registry), nil
}

// addEndpoint puts the server in front of the endpoints of docker.io; of "*" when
// only that is spoken of, which counts for docker.io then.
func addEndpoint(text []byte, server string, made ...string) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("not YAML: %w", err)
	}
	var before map[string]any
	if err := doc.Decode(&before); err != nil {
		return nil, fmt.Errorf("expected keys and values: %w", err)
	}
	_, mirrors := yamlValue(root(&doc), "mirrors")
	host, key, hub := "docker.io", (*yaml.Node)(nil), (*yaml.Node)(nil)
	for _, name := range []string{"docker.io", "*"} {
		if key, hub = yamlValue(mirrors, name); hub != nil {
			host = name
			break
		}
	}
	_, endpoints := yamlValue(hub, "endpoint")
	if _, rewrite := yamlValue(hub, "rewrite"); rewrite != nil {
		return nil, fmt.Errorf("line %d: the mirror of %s rewrites names, those with a CID too: write a rewrite that leaves out ^ciq by hand", rewrite.Line, host)
	}
	if endpoints != nil && slices.ContainsFunc(endpoints.Content, func(n *yaml.Node) bool { return strings.TrimRight(n.Value, "/") == server }) {
		return text, nil // written by the user
	}
	after, err := insertEndpoint(text, server, made, mirrors, key, hub, endpoints)
	if err != nil {
		return nil, err
	}
	return after, checkEndpoint(before, after, host, server)
}

// insertEndpoint writes the lines where they belong.
func insertEndpoint(text []byte, server string, made []string, mirrors, key, hub, endpoints *yaml.Node) ([]byte, error) {
	item := "- " + quoted(server)
	switch {
	case mirrors == nil:
		lines := append(slices.Clone(made), "mirrors:", "  docker.io:", "    endpoint:", "      "+item)
		return insertBlock(text, len(text), "", lines...), nil
	case endpoints != nil && len(endpoints.Content) > 0 && endpoints.Style&yaml.FlowStyle == 0:
		first := endpoints.Content[0]
		line := lineOf(text, first.Line)
		indent := string(text[line : line+bytes.IndexByte(text[line:], '-')])
		return insertBlock(text, line, indent, item), nil
	case hub == nil && mirrors.Kind == yaml.MappingNode && mirrors.Style&yaml.FlowStyle == 0 && len(mirrors.Content) > 0:
		first := mirrors.Content[0]
		indent := strings.Repeat(" ", first.Column-1)
		return insertBlock(text, lineOf(text, first.Line), indent, "docker.io:", "  endpoint:", "    "+item), nil
	case hub != nil && endpoints == nil && hub.Kind == yaml.MappingNode && hub.Style&yaml.FlowStyle == 0 && len(hub.Content) > 0:
		first := hub.Content[0]
		return insertBlock(text, lineOf(text, first.Line), strings.Repeat(" ", first.Column-1), "endpoint:", "  "+item), nil
	}
	at := mirrors.Line
	if key != nil {
		at = key.Line
	}
	return nil, fmt.Errorf("line %d: %w; the list wanted is mirrors: docker.io: endpoint: [%q, …]", at, errByHand, server)
}

// checkEndpoint makes sure that an edit did what it should and nothing else.
func checkEndpoint(before map[string]any, after []byte, host, server string) error {
	var tree map[string]any
	if err := yaml.Unmarshal(after, &tree); err != nil {
		return fmt.Errorf("%w: %w", errByHand, err)
	}
	hub := subtree(tree, "mirrors", host)
	list, _ := hub["endpoint"].([]any)
	if len(list) == 0 || list[0] != server {
		return errByHand
	}
	old := subtree(before, "mirrors", host)
	rest, _ := old["endpoint"].([]any)
	if !slices.Equal(list[1:], rest) || !sameBut(old, hub, "endpoint") || !sameBut(before, tree, "mirrors") || !sameBut(subtree(before, "mirrors"), subtree(tree, "mirrors"), host) {
		return errByHand
	}
	return nil
}

// root is a document's content, nil for an empty one.
func root(doc *yaml.Node) *yaml.Node {
	if len(doc.Content) == 0 {
		return nil
	}
	return doc.Content[0]
}

// yamlValue gives a mapping's key and value, nil when it is not there.
func yamlValue(mapping *yaml.Node, name string) (key, value *yaml.Node) {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			return mapping.Content[i], mapping.Content[i+1]
		}
	}
	return nil, nil
}

// lineOf is the offset of a line, the first being 1.
func lineOf(text []byte, line int) (at int) {
	for ; line > 1; line-- {
		at = lineEnd(text, at)
	}
	return at
}

// microk8s reads its certs.d whenever it pulls.
func (p *Plan) microk8s(o Options) error {
	if err := p.named(); err != nil {
		return err
	}
	template := microk8sArgs + "/containerd-template.toml"
	text, err := o.read(template)
	if err != nil {
		return err
	}
	if text != nil && !bytes.Contains(text, []byte("config_path")) && !p.Undo {
		return fmt.Errorf("%w: %s has no config_path: MicroK8s before 1.23 wants the mirror there by hand, below registry.mirrors.\"docker.io\"", ErrConfig, template)
	}
	dir, err := CertsDir("microk8s", o)
	if err != nil {
		return err
	}
	return p.certsDir([]string{dir})
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
	for _, path := range append(slices.DeleteFunc(paths, func(p string) bool { return p == own }), own) {
		f, err := o.criFile(path)
		if err != nil {
			return c, err
		}
		if path == own && f.plain == nil {
			f.version = version
		}
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
