// What CRI makes of a config_path of several directories.

package setup

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// takesList tells whether CRI takes config_path for a list of directories. In
// containerd 2.1 and later, whose images come by the transfer service, it takes it
// for the name of one (registry.WithHostDir in internal/cri/server/images). Where
// containerd does not say its version, known is false and the answer that of the
// configuration's version.
func (o Options) takesList(c criConfig) (list, known bool) {
	if c.pullsItself() {
		return true, true
	}
	if major, minor, ok := o.version("containerd"); ok {
		return major < 2 || major == 2 && minor == 0, true
	}
	return c.files[0].version < 3, false
}

// pullsItself tells whether CRI pulls without the transfer service.
func (c criConfig) pullsItself() (itself bool) {
	for _, f := range c.files {
		if value, ok := subtree(f.tree, newCRI[:2]...)["use_local_image_pull"].(bool); ok {
			itself = value
		}
	}
	return itself
}

// newPath is what config_path becomes where it is not set: the first directory, and
// the others where CRI reads them, and has reason to.
func (p *Plan) newPath(o Options, c criConfig, dirs []string) string {
	list, _ := o.takesList(c)
	read := dirs[:1]
	if list && slices.ContainsFunc(dirs[1:], func(dir string) bool { return len(p.registriesIn(o, dir)) > 0 }) {
		read = dirs
	}
	p.nowRead(o, read)
	var seen []string
	for _, dir := range read {
		seen = append(seen, o.within(dir))
	}
	return strings.Join(seen, ":")
}

// wantedPath is what config_path is to be: what it is, unless it is not set or CRI
// reads nothing by it.
func (p *Plan) wantedPath(o Options, c criConfig, dirs []string) (string, error) {
	switch {
	case c.configPath == "":
		return p.newPath(o, c, dirs), nil
	case o.at(firstDir(c.configPath)) != dirs[0]:
		return "", fmt.Errorf("%w: %s: config_path is %q there, not %s", ErrConfig, c.target.seen, c.configPath, dirs[0])
	case len(filepath.SplitList(c.configPath)) < 2:
		return c.configPath, nil
	}
	list, known := o.takesList(c)
	if list {
		return c.configPath, nil
	}
	if p.unused(o, dirs) && c.ownPath() != "" && slices.Equal(c.pathTable()[:len(newCRI)], c.target.written()) {
		p.note("config_path is %s alone from now on: CRI of containerd 2.1 and later takes several directories for the name of one, which is not there", o.within(dirs[0]))
		return o.within(dirs[0]), nil
	}
	what := fmt.Sprintf("%s, line %d: config_path names several directories, and CRI of containerd 2.1 and later takes it for the name of one, which is not there: write config_path = %q, with what is needed of the others moved there; from then on CRI goes by it",
		c.target.seen, c.target.line(c.pathTable()), firstDir(c.configPath))
	if known {
		return "", fmt.Errorf("%w: %s; or run setup nerdctl, which leaves CRI alone", ErrConfig, what)
	}
	if o.CertsOnly {
		return "", fmt.Errorf("%w: %s; certs.d alone is to be written, and which version this containerd has is not seen from here: where it is older, image2ipfs setup %s --yes on that machine sees it", ErrConfig, what, o.Engine)
	}
	p.note("%s", what)
	return c.configPath, nil
}

// unused tells whether the directories speak of no registry, so that nothing but names
// with a CID goes elsewhere once they are read.
func (p *Plan) unused(o Options, dirs []string) bool {
	return !slices.ContainsFunc(dirs, func(dir string) bool {
		return len(p.registriesIn(o, dir)) > 0
	})
}

// written is the table into which config_path is put, in a file in which it stands
// already.
func (f *criFile) written() []string {
	switch {
	case f.version < 2:
		return criV1
	case f.version == 2:
		return oldCRI
	}
	return newCRI
}

// pathTable is where config_path is set in the target.
func (c criConfig) pathTable() []string {
	for _, table := range c.target.tables() {
		if text, _ := subtree(c.target.tree, table...)["config_path"].(string); text != "" {
			return append(slices.Clone(table), "config_path")
		}
	}
	return []string{"plugins"}
}
