// What containerd's config.toml and the files that it imports say about CRI,
// which reads certs.d only when config_path names it: the kubelet's pulls do.

package setup

import (
	"bytes"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// defaultCerts is the certs.d that nerdctl reads by itself.
const defaultCerts = "/etc/containerd/certs.d"

// oldCRI and newCRI are the tables that hold config_path: containerd 2 reads both
// in any file, containerd 1 the first. Files of version 1, and without a version,
// have criV1, which containerd 2 does not read.
var (
	criV1  = []string{"plugins", "cri", "registry"}
	oldCRI = []string{"plugins", "io.containerd.grpc.v1.cri", "registry"}
	newCRI = []string{"plugins", "io.containerd.cri.v1.images", "registry"}
)

// criFile is config.toml or a file that it imports.
type criFile struct {
	path    string // as the engine sees it
	seen    string // as it is seen from here
	text    []byte // as it is; nil when there is none
	plain   []byte // without what setup has put in
	found   []expression
	tree    map[string]any
	version int64 // of the whole where there is no version line, see asOne
	bare    bool  // there is none
}

// criFiles reads config.toml and all that it imports, in the order in which they
// are merged: the last one counts. A file that is there by several paths is the same one
// each time.
func (o Options) criFiles(path string) (files []*criFile, err error) {
	seen, known := map[string]bool{}, map[string]*criFile{}
	for pending := []string{path}; len(pending) > 0; pending = pending[1:] {
		path := pending[0]
		if seen[path] {
			continue
		}
		seen[path] = true
		f, err := o.onlyFile(known, path)
		if err != nil {
			return nil, err
		}
		if f.text == nil && len(files) > 0 {
			return nil, fmt.Errorf("%w: %s, which %s imports, is not there: containerd 1 does not start so", ErrConfig, f.seen, files[0].seen)
		}
		files = append(files, f)
		imported, err := o.imports(f)
		if err != nil {
			return nil, err
		}
		pending = append(pending, imported...)
	}
	var whole int64
	for _, f := range files {
		if whole = f.version; whole > 1 {
			break
		}
	}
	for _, f := range files {
		f.asOne(whole)
	}
	return files, nil
}

// asOne takes a file without a version line for one of the version of the whole, as
// containerd 1 and 2 merge them.
func (f *criFile) asOne(whole int64) {
	if f.bare && whole > 1 {
		f.version = whole
	}
}

// onlyFile is criFile that gives the same for each path to a file.
func (o Options) onlyFile(known map[string]*criFile, path string) (*criFile, error) {
	real, err := o.place().real(o.at(path))
	if err != nil {
		return nil, err
	}
	if known[real] == nil {
		if known[real], err = o.criFile(path); err != nil {
			return nil, err
		}
	}
	return known[real], nil
}

func (o Options) criFile(path string) (f *criFile, err error) {
	f = &criFile{path: path, seen: o.at(path)}
	if f.text, err = o.read(path); err != nil {
		return nil, err
	}
	f.plain = keepVersion(f.text, o.marks().cut(f.text))
	if f.found, f.tree, err = parseTOML(f.plain); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrConfig, f.seen, o.marks().shifted(f.text, err))
	}
	f.version, _ = f.tree["version"].(int64)
	f.bare = f.version == 0
	if made, _ := madeBy(f.text); f.text == nil || made && blank(f.plain) {
		f.plain, f.version, f.bare = nil, 2, false // which containerd 1 and 2 read
	}
	if f.version > 4 || f.version < 0 {
		return nil, fmt.Errorf("%w: %s: version %d is not known here; edit it by hand", ErrConfig, f.seen, f.version)
	}
	return f, nil
}

// imports are the files that a file's imports name, relative to it.
func (o Options) imports(f *criFile) (paths []string, err error) {
	list, _ := f.tree["imports"].([]any)
	for _, item := range list {
		path, _ := item.(string)
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(f.path), path)
		}
		if !strings.ContainsAny(path, "*?[") {
			paths = append(paths, path)
			continue
		}
		if strings.ContainsAny(filepath.Dir(path), "*?[") {
			return nil, fmt.Errorf("%w: %s imports %s: a pattern in a directory's name is not read here; name the directories, or edit it by hand", ErrConfig, f.seen, path)
		}
		some, err := o.glob(path)
		if err != nil {
			return nil, err
		}
		paths = append(paths, some...)
	}
	return paths, nil
}

// criConfig is what all files together say.
type criConfig struct {
	files      []*criFile
	target     *criFile // the file in which config_path counts
	configPath string   // empty when unset there
	disabled   string   // the file that switches CRI off
}

// readCRI reads what config.toml and its imports say together. Containerd 1 takes
// a plugin's whole table from the last file that has it; so config_path belongs
// there.
func (o Options) readCRI(path string) (c criConfig, err error) {
	if c.files, err = o.criFiles(path); err != nil {
		return c, err
	}
	c.target = c.files[0]
	for _, f := range c.files {
		disabled, _ := f.tree["disabled_plugins"].([]any)
		if slices.ContainsFunc(disabled, func(d any) bool { return d == "cri" || d == oldCRI[1] || d == newCRI[1] }) {
			c.disabled = f.seen
		}
		for _, table := range f.tables() {
			if subtree(f.tree, table[:2]...) == nil {
				continue
			}
			c.target = f
			if value, _ := subtree(f.tree, table...)["config_path"].(string); value != "" {
				c.configPath = value
			}
		}
	}
	return c, nil
}

// tables are those of a file that some containerd reads.
func (f *criFile) tables() [][]string {
	switch f.version {
	case 0, 1:
		return [][]string{criV1, newCRI}
	case 2:
		return [][]string{oldCRI, newCRI}
	}
	return [][]string{newCRI}
}

// mayRead are the tables that some containerd reads in a file: beside those in which
// config_path is written, what it takes from one without a version line.
func (f *criFile) mayRead() [][]string {
	if f.bare && f.version > 1 {
		return [][]string{criV1, oldCRI, newCRI}
	}
	return f.tables()
}

// ownPath is config_path in the target itself.
func (c criConfig) ownPath() (value string) {
	for _, table := range c.target.tables() {
		if text, _ := subtree(c.target.tree, table...)["config_path"].(string); text != "" {
			value = text
		}
	}
	return value
}

// says tells whether a file has this config_path wherever it counts: without a version
// line, containerd 1 and 2 read different tables.
func (f *criFile) says(path string) bool {
	if f.version < 2 {
		for _, table := range f.tables() {
			if subtree(f.tree, table...)["config_path"] != path {
				return false
			}
		}
		return true
	}
	return criConfig{target: f}.ownPath() == path
}

// conflict finds settings beside which containerd refuses config_path, and says
// what to write in their place. All files are looked at: containerd 1 takes CRI's whole
// table from the last of them, containerd 2 a table of each, and where nobody says
// which one this is, config_path must do in both.
func (c criConfig) conflict(certs string) error {
	for _, f := range c.files {
		for _, table := range f.mayRead() {
			registry := subtree(f.tree, table...)
			mirrors, _ := registry["mirrors"].(map[string]any)
			for host := range mirrors {
				return f.refusal(append(slices.Clone(table), "mirrors", host), certs, host, "each endpoint as a table: [host.\"ENDPOINT\"]")
			}
			configs, _ := registry["configs"].(map[string]any)
			for host, config := range configs {
				if config, _ := config.(map[string]any); config["tls"] != nil {
					return f.refusal(append(slices.Clone(table), "configs", host, "tls"), certs, host, "its certificates as ca = \"FILE\", client = [[\"CERT\", \"KEY\"]] or skip_verify = true, below [host.\"https://"+host+"\"]")
				}
			}
		}
	}
	return nil
}

// line is where a table or key is set, or the table that is nearest to it; 0 for
// nowhere.
func (f *criFile) line(path []string) int {
	return engineMarks.lineIn(f.text, lineOfKey(f.plain, f.found, path...))
}

func (f *criFile) refusal(path []string, certs, host, write string) error {
	if host == "*" {
		host = "_default"
	}
	return fmt.Errorf("%w: %s, line %d: registry.%s is set, beside which containerd refuses config_path, and CRI would not load: move it to %s first, written by hand (%s), or run setup nerdctl, which leaves config.toml and CRI alone",
		ErrConfig, f.seen, f.line(path), strings.Join(path[3:], "."), filepath.Join(certs, host, "hosts.toml"), write)
}

func subtree(tree map[string]any, path ...string) map[string]any {
	for _, key := range path {
		tree, _ = tree[key].(map[string]any)
	}
	return tree
}

// setConfigPath puts config_path = dir into the text of a config.toml in which
// it is unset or empty. A file of version 1, or without one, gets the tables of
// containerd 1 and of 2.
func setConfigPath(text []byte, version int64, dir string, made ...string) ([]byte, error) {
	tables := [][]string{oldCRI}
	switch {
	case version < 2:
		tables = [][]string{criV1, newCRI}
	case version > 2:
		tables = [][]string{newCRI}
	}
	plain := text
	found, before, err := parseTOML(text)
	if err != nil {
		return nil, err
	}
	isNew := text == nil
	for i, table := range tables {
		if text, err = setInTable(text, table, dir, i == 0 && isNew, made); err != nil {
			return nil, err
		}
		made = nil
	}
	return text, byHand(checkConfigPath(before, text, isNew, tables, dir), lineOfKey(plain, found, tables[0]...), "config_path = "+quoted(dir)+" in ["+strings.Join(tables[0], ".")+"]")
}

func setInTable(text []byte, table []string, dir string, isNew bool, made []string) ([]byte, error) {
	found, tree, err := parseTOML(text)
	if err != nil || subtree(tree, table...)["config_path"] == dir {
		return text, err
	}
	setting := "config_path = " + quoted(dir)
	own := slices.IndexFunc(found, func(e expression) bool {
		return !e.header() && slices.Equal(e.table, table) && slices.Equal(e.key, []string{"config_path"})
	})
	header := slices.IndexFunc(found, func(e expression) bool { return isTable(e, table...) })
	switch {
	case own >= 0:
		return replaceLine(text, found[own].line, setting), nil
	case header >= 0:
		line := found[header].line
		indent := string(text[line : line+bytes.IndexByte(text[line:], '[')])
		return insertBlock(text, lineEnd(text, line), indent, append(made, "  "+setting)...), nil
	}
	lines := []string{"[" + table[0] + "." + quoted(table[1]) + "." + table[2] + "]", "  " + setting}
	if isNew {
		lines = append([]string{"version = 2"}, lines...)
	}
	return insertBlock(text, len(text), "", append(made, lines...)...), nil
}

// checkConfigPath makes sure that an edit did what it should and nothing else.
func checkConfigPath(before map[string]any, after []byte, isNew bool, tables [][]string, dir string) error {
	_, tree, err := parseTOML(after)
	if err != nil {
		return fmt.Errorf("%w: %w", errByHand, err)
	}
	if isNew {
		before["version"] = int64(2)
	}
	for _, table := range tables {
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
	}
	if !reflect.DeepEqual(before, tree) {
		return errByHand
	}
	return nil
}
