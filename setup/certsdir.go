// certs.d, in which containerd, CRI and nerdctl look for a registry's directory.

package setup

import (
	"fmt"
	"path/filepath"
	"strings"
)

const (
	hubDir = "docker.io"
	allDir = "_default"
)

// certsDir plans the hosts.toml files in the first of the directories in which
// containerd looks for a registry's. It goes by the first of these that is there: the
// registry's own directory, then _default, then the same in the next certs.d. So
// nothing is made that would stand in front of what somebody has written.
func (p *Plan) certsDir(dirs []string) error {
	dirs, err := p.distinct(dirs)
	if err != nil {
		return err
	}
	var leave string
	if !p.Undo {
		if leave, err = p.leftOut(dirs); err != nil {
			return err
		}
	}
	for _, name := range hostsDirs {
		path := filepath.Join(dirs[0], name, "hosts.toml")
		if err := p.hostsFile(path, p.Undo || name == leave); err != nil {
			return err
		}
	}
	return nil
}

// distinct leaves out what leads to a directory that is there already.
func (p *Plan) distinct(paths []string) (distinct []string, err error) {
	seen := map[string]bool{}
	for _, path := range paths {
		real, err := p.place.real(path)
		if err != nil {
			return nil, err
		}
		if !seen[real] {
			seen[real] = true
			distinct = append(distinct, path)
		}
	}
	return distinct, nil
}

// leftOut is that of hostsDirs which setup must not make, empty for none. Rules for
// docker.io that both would hide are an error.
func (p *Plan) leftOut(dirs []string) (string, error) {
	hub, err := p.users(filepath.Join(dirs[0], hubDir))
	if err != nil {
		return "", err
	}
	all, err := p.users(filepath.Join(dirs[0], allDir))
	if err != nil {
		return "", err
	}
	if all { // so that nothing of the later directories counts
		says, err := p.says(filepath.Join(dirs[0], allDir))
		if err != nil || hub || !says {
			return "", err
		}
		p.note("%s is left out, since it would hide from docker.io what %s says: the server is in that file alone, which counts for docker.io, too", filepath.Join(dirs[0], hubDir), filepath.Join(dirs[0], allDir, "hosts.toml"))
		return hubDir, nil
	}
	hidden, err := p.hiddenBy(dirs, hub)
	if err != nil {
		return "", err
	}
	later, unseen := strings.Join(dirs[1:], ", "), strings.Join(p.unseen(dirs[1:]), ", ")
	switch {
	case len(hidden) > 0:
		p.note("%s is left out, since it would hide %s in %s from containerd: give ctr names with docker.io/ in front", filepath.Join(dirs[0], allDir), strings.Join(hidden, ", "), later)
	case unseen != "" && hub:
		p.note("%s is left out, since it would hide from containerd what %s, which cannot be seen from here, may say: give ctr names with docker.io/ in front", p.options.within(filepath.Join(dirs[0], allDir)), unseen)
	case unseen != "":
		p.note("%s is left out, since it would hide from containerd what %s, which cannot be seen from here, may say: give ctr names with docker.io/ in front. What that may say of docker.io is hidden: move it to %s", p.options.within(filepath.Join(dirs[0], allDir)), unseen, p.options.within(dirs[0]))
	default:
		return "", nil
	}
	return allDir, nil
}

// users tells whether a registry's directory would be there without setup.
func (p *Plan) users(dir string) (bool, error) {
	if !p.place.exists(dir) {
		return false, nil
	}
	names, err := p.place.list(dir)
	if err != nil {
		return false, err
	}
	text, err := p.place.read(filepath.Join(dir, "hosts.toml"))
	if err != nil {
		return false, err
	}
	made, dirs := madeBy(text)
	return !made || dirs == 0 || len(names) > 1 || !blank(cutBlocks(text)), nil
}

// says tells whether a registry's directory says something that setup has not put in.
func (p *Plan) says(dir string) (bool, error) {
	text, err := p.place.read(filepath.Join(dir, "hosts.toml"))
	if err != nil {
		return false, err
	}
	if text == nil {
		return p.noBareCertificates(dir) != nil, nil
	}
	_, tree, err := parseTOML(cutBlocks(text))
	return err != nil || len(tree) > 0, nil // hostsTOML says what is wrong
}

// hiddenBy lists the registries that only the later directories speak of, and that
// _default in the first would hide. It is an error where docker.io is one of them; hub
// tells that it is not, since the first has a directory for it.
func (p *Plan) hiddenBy(dirs []string, hub bool) (names []string, err error) {
	for _, dir := range dirs[1:] {
		entries, err := p.place.list(dir)
		if err != nil {
			return nil, err
		}
		for _, name := range entries {
			at := filepath.Join(dir, name)
			all := name == allDir
			if all {
				says, err := p.says(at)
				if err != nil {
					return nil, err
				}
				if !says {
					continue
				}
			}
			switch {
			case (all || name == hubDir) && !hub:
				return nil, fmt.Errorf("%w: %s speaks of docker.io too, which containerd would overlook beside %s: move what is in %s to %s first", ErrConfig, at, dirs[0], dir, dirs[0])
			case all:
				names = append(names, "all registries")
			case name != hubDir && !p.place.exists(filepath.Join(dirs[0], name)):
				names = append(names, name)
			}
		}
	}
	return names, nil
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
		return fmt.Errorf("%w: %s: %w", ErrConfig, path, engineMarks.shifted(text, err))
	}
	return p.textChange(path, text, after, out)
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
