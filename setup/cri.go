// containerd's config.toml: CRI, and so the kubelet, reads certs.d only when
// config_path names it.

package setup

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
)

// defaultCerts is the certs.d that nerdctl reads by itself.
const defaultCerts = "/etc/containerd/certs.d"

// criConfig is what config.toml says about CRI's registries.
type criConfig struct {
	table      []string // that holds config_path
	configPath string   // empty when unset
	disabled   bool     // CRI is switched off
}

// criTables are the tables that hold config_path, by the version of the file.
var criTables = map[int64][]string{
	0: {"plugins", "cri", "registry"},
	1: {"plugins", "cri", "registry"},
	2: {"plugins", "io.containerd.grpc.v1.cri", "registry"},
	3: {"plugins", "io.containerd.cri.v1.images", "registry"},
	4: {"plugins", "io.containerd.cri.v1.images", "registry"},
}

// readCRI reads what a config.toml says. A file that is not there counts as one
// of version 2, which containerd 1.x and 2.x read.
func readCRI(tree map[string]any, exists bool) (criConfig, error) {
	version, _ := tree["version"].(int64)
	if !exists {
		version = 2
	}
	table, ok := criTables[version]
	if !ok {
		return criConfig{}, fmt.Errorf("version %d of config.toml is not known here; set config_path by hand", version)
	}
	c := criConfig{table: table}
	disabled, _ := tree["disabled_plugins"].([]any)
	for _, d := range disabled {
		c.disabled = c.disabled || d == "cri" || d == table[1]
	}
	registry := subtree(tree, table...)
	c.configPath, _ = registry["config_path"].(string)
	return c, mirrorsConflict(registry, c)
}

// mirrorsConflict finds settings beside which containerd refuses config_path.
func mirrorsConflict(registry map[string]any, c criConfig) error {
	if c.configPath != "" || c.disabled {
		return nil
	}
	old := ""
	if mirrors, _ := registry["mirrors"].(map[string]any); len(mirrors) > 0 {
		old = "mirrors"
	}
	configs, _ := registry["configs"].(map[string]any)
	for _, host := range configs {
		if h, _ := host.(map[string]any); h["tls"] != nil {
			old = "configs.….tls"
		}
	}
	if old == "" {
		return nil
	}
	return fmt.Errorf("registry.%s is set, beside which containerd refuses config_path: move it to %s/<host>/hosts.toml first (or run setup nerdctl, which leaves config.toml and CRI alone)", old, defaultCerts)
}

func subtree(tree map[string]any, path ...string) map[string]any {
	for _, key := range path {
		tree, _ = tree[key].(map[string]any)
	}
	return tree
}

// setConfigPath puts config_path = dir into the text of a config.toml in which
// it is unset or empty.
func setConfigPath(text []byte, dir string) ([]byte, error) {
	found, before, err := parseTOML(text)
	if err != nil {
		return nil, err
	}
	c, err := readCRI(before, text != nil)
	if err != nil || c.configPath != "" || c.disabled {
		return text, err
	}
	setting := "config_path = " + quoted(dir)
	own := slices.IndexFunc(found, func(e expression) bool {
		return !e.header() && slices.Equal(e.table, c.table) && slices.Equal(e.key, []string{"config_path"})
	})
	header := slices.IndexFunc(found, func(e expression) bool { return isTable(e, c.table...) })
	var after []byte
	switch {
	case own >= 0:
		after = replaceLine(text, found[own].line, setting)
	case header >= 0:
		line := found[header].line
		indent := string(text[line : line+bytes.IndexByte(text[line:], '[')])
		after = insertBlock(text, lineEnd(text, line), indent, "  "+setting)
	default:
		lines := []string{"[" + c.table[0] + "." + quoted(c.table[1]) + "." + c.table[2] + "]", "  " + setting}
		if text == nil {
			lines = append([]string{"version = 2"}, lines...)
		}
		after = insertBlock(text, len(text), "", lines...)
	}
	return after, checkConfigPath(before, after, text == nil, c.table, dir)
}

// checkConfigPath makes sure that an edit did what it should and nothing else.
func checkConfigPath(before map[string]any, after []byte, isNew bool, table []string, dir string) error {
	_, tree, err := parseTOML(after)
	if err != nil {
		return fmt.Errorf("%w: %w", errByHand, err)
	}
	if isNew {
		before["version"] = int64(2)
	}
	at := before
	for _, key := range table {
		next, ok := at[key].(map[string]any)
		if !ok {
			next = map[string]any{}
			at[key] = next
		}
		at = next
	}
	at["config_path"] = dir
	if !reflect.DeepEqual(before, tree) {
		return errByHand
	}
	return nil
}
