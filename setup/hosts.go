// hosts.toml of containerd's certs.d, which nerdctl, ctr and CRI read too.

package setup

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// hostsDirs are the directories in certs.d that get a hosts.toml: names without
// a host mean docker.io; containerd itself takes a bare ciq… for a host.
var hostsDirs = []string{"docker.io", "_default"}

// hostsTOML puts the server in front of all other hosts, or takes it out. The
// registry itself stays the last resort, so that other names go on to it.
func hostsTOML(text []byte, server string, undo bool, made ...string) ([]byte, error) {
	plain := cutBlocks(text)
	found, before, err := parseTOML(plain)
	if err != nil || undo {
		return plain, err
	}
	if hosts, ok := before["host"].(map[string]any); ok && hosts[server] != nil {
		return plain, nil // written by the user
	}
	at := len(plain)
	if i := slices.IndexFunc(found, expression.header); i >= 0 {
		at = aboveComments(plain, found[i].line)
	}
	after := insertBlock(plain, at, "", append(made,
		"# Names with a CID in them are served from IPFS; all others get a 404 here and",
		"# go on to their registry.",
		"[host."+quoted(server)+"]",
		"  capabilities = [\"pull\", \"resolve\"]")...)
	return after, byHand(checkHosts(before, after, server), lineOfKey(plain, found, "host"), "[host."+quoted(server)+"] with capabilities = [\"pull\", \"resolve\"], in front of the others")
}

// checkHosts makes sure that an edit did what it should and nothing else.
func checkHosts(before map[string]any, after []byte, server string) error {
	found, tree, err := parseTOML(after)
	if err != nil {
		return fmt.Errorf("%w: %w", errByHand, err)
	}
	hosts, _ := before["host"].(map[string]any)
	want := map[string]any{server: map[string]any{"capabilities": []any{"pull", "resolve"}}}
	maps.Copy(want, hosts)
	first := slices.IndexFunc(found, func(e expression) bool { return len(e.path()) > 1 && e.path()[0] == "host" })
	if !reflect.DeepEqual(tree["host"], any(want)) || !sameBut(before, tree, "host") || found[first].path()[1] != server {
		return errByHand
	}
	return nil
}

// errByHand is about files in which a setting has no place that edits know.
var errByHand = errors.New("it is written in a form that edits do not know: write plain [tables], or set it by hand")

// byHand says in which line a setting stands that an edit did not find its way with, and
// what is wanted; other errors, and nil, are given back.
func byHand(err error, line int, wanted string) error {
	if !errors.Is(err, errByHand) {
		return err
	}
	return fmt.Errorf("line %d: %w; wanted is %s", max(line, 1), err, wanted)
}

// sameBut compares all of two trees but one key at the top.
func sameBut(a, b map[string]any, key string) bool {
	for _, m := range []map[string]any{a, b} {
		for k := range m {
			if k != key && !reflect.DeepEqual(a[k], b[k]) {
				return false
			}
		}
	}
	return true
}

// certsDir plans the hosts.toml files in the first of the directories in which
// containerd looks for a registry's. It takes _default of the first before it
// looks into the second, so there is none when that would hide a registry's.
func (p *Plan) certsDir(dirs []string) error {
	later := strings.Join(dirs[1:], ", ")
	hidden, err := p.hiddenBy(dirs)
	if err != nil {
		return err
	}
	if slices.Contains(hidden, "docker.io") && !p.Undo {
		return fmt.Errorf("%w: %s speaks of docker.io too, which containerd would overlook beside %s: move it there first", ErrConfig, later, dirs[0])
	}
	for _, name := range hostsDirs {
		path := filepath.Join(dirs[0], name, "hosts.toml")
		unseen := p.unseen(dirs[1:])
		leave := name == "_default" && len(hidden)+len(unseen) > 0 && !p.Undo
		switch {
		case leave && len(hidden) == 0:
			p.note("%s is left out, since it would hide from containerd what %s, which cannot be seen from here, may say: give ctr names with docker.io/ in front", p.options.within(filepath.Dir(path)), strings.Join(unseen, ", "))
		case leave:
			p.note("%s is left out, since it would hide %s in %s from containerd: give ctr names with docker.io/ in front", filepath.Dir(path), strings.Join(hidden, ", "), later)
		}
		if err := p.hostsFile(path, p.Undo || leave); err != nil {
			return err
		}
	}
	return nil
}

// hostsFile plans one hosts.toml; out takes out what setup has put in.
func (p *Plan) hostsFile(path string, out bool) error {
	text, err := p.place.read(path)
	if err != nil {
		return err
	}
	if len(text) == 0 && !out {
		if err := p.noBareCertificates(filepath.Dir(path)); err != nil {
			return err
		}
	}
	if !out {
		if err := p.hostless(path, text); err != nil {
			return err
		}
	}
	made, err := p.madeLine(path, text)
	if err != nil {
		return err
	}
	after, err := hostsTOML(text, p.Server, out, made...)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrConfig, path, err)
	}
	return p.textChange(path, text, after, out)
}

// hiddenBy lists the registries that only the later directories speak of.
func (p *Plan) hiddenBy(dirs []string) (names []string, err error) {
	for _, dir := range dirs[1:] {
		entries, err := p.place.list(dir)
		if err != nil {
			return nil, err
		}
		for _, name := range entries {
			if name != "_default" && (name == "docker.io" || !p.place.exists(filepath.Join(dirs[0], name))) {
				names = append(names, name)
			}
		}
	}
	return names, nil
}

// unseen lists the directories of a node that a pod was not given to look into: those
// which, as seen from there, lie in no directory.
func (p *Plan) unseen(dirs []string) (names []string) {
	for _, dir := range dirs {
		if p.options.CertsOnly && p.options.Root != "" && !p.place.exists(filepath.Dir(dir)) {
			names = append(names, p.options.within(dir))
		}
	}
	return names
}

// noBareCertificates refuses a directory in Docker's older layout, since a
// hosts.toml makes containerd overlook the certificates beside it.
func (p *Plan) noBareCertificates(dir string) error {
	names, err := p.place.list(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		switch filepath.Ext(name) {
		case ".crt", ".cert", ".key":
			return fmt.Errorf("%w: %s holds %s and no hosts.toml; containerd would overlook it beside one: name it in a hosts.toml (ca = …, client = …) first", ErrConfig, dir, name)
		}
	}
	return nil
}

// isTable tells whether an expression is the header of the table at path.
func isTable(e expression, path ...string) bool {
	return e.kind == unstable.Table && slices.Equal(e.table, path)
}
