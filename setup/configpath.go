// What CRI makes of a config_path of several directories.

package setup

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var containerdVersion = regexp.MustCompile(`\sv?([0-9]+)\.([0-9]+)\.[0-9]`)

// takesList tells whether CRI takes config_path for a list of directories. In
// containerd 2.1 and later, whose images come by the transfer service, it takes it
// for the name of one (registry.WithHostDir in internal/cri/server/images). Where
// containerd does not say its version, known is false and the answer that of the
// configuration's version.
func (o Options) takesList(c criConfig) (list, known bool) {
	if program := o.program("containerd"); program != nil {
		out, err := ask(context.Background(), program, "--version")
		if v := containerdVersion.FindStringSubmatch(out); err == nil && v != nil {
			major, _ := strconv.Atoi(v[1])
			minor, _ := strconv.Atoi(v[2])
			return major < 2 || major == 2 && minor == 0, true
		}
	}
	return c.files[0].version < 3, false
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

// readable refuses a config_path of which CRI reads nothing, and tells of one of
// which it may read nothing.
func (p *Plan) readable(o Options, c criConfig) error {
	if len(filepath.SplitList(c.configPath)) < 2 {
		return nil
	}
	list, known := o.takesList(c)
	what := fmt.Sprintf("%s, line %d: config_path names several directories, and CRI of containerd 2.1 and later takes it for the name of one, which is not there: write config_path = %q, with what is needed of the others moved there",
		c.target.seen, c.target.line(c.pathTable()), firstDir(c.configPath))
	switch {
	case list:
		return nil
	case known:
		return fmt.Errorf("%w: %s; or run setup nerdctl, which leaves CRI alone", ErrConfig, what)
	}
	p.note("%s", what)
	return nil
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
