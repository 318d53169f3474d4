// podman (and buildah, skopeo): a mirror of docker.io in registries.conf, where
// it is already spoken of, else in a drop-in file of its own.

package setup

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// dropIn is our own file.
const dropIn = "image2ipfs.conf"

// registriesConf is what counts here of a registries.conf, version 2 or 1.
type registriesConf struct {
	Unqualified *[]string `toml:"unqualified-search-registries"`
	Registry    []struct {
		Prefix       string `toml:"prefix"`
		Location     string `toml:"location"`
		Blocked      bool   `toml:"blocked"`
		ByDigestOnly bool   `toml:"mirror-by-digest-only"`
		Mirror       []struct {
			Location string `toml:"location"`
		} `toml:"mirror"`
	} `toml:"registry"`
	V1 struct {
		Search   registriesList `toml:"search"`
		Insecure registriesList `toml:"insecure"`
		Block    registriesList `toml:"block"`
	} `toml:"registries"`
}

// registriesList is a table of version 1.
type registriesList struct {
	Registries []string `toml:"registries"`
}

// names tells whether a list of version 1 has a registry.
func (l registriesList) names(registry string) bool {
	return slices.ContainsFunc(l.Registries, func(r string) bool { return strings.TrimRight(r, "/") == registry })
}

// rule is the place of the registry with a prefix, -1 when it isn't there. Slashes at
// the end count for nothing (parseLocation in containers/image/pkg/sysregistriesv2).
func (c registriesConf) rule(prefix string) int {
	for i, r := range c.Registry {
		if strings.TrimRight(cmp.Or(r.Prefix, r.Location), "/") == prefix {
			return i
		}
	}
	return -1
}

const (
	hub      = "docker.io"
	wildcard = "*.io" // the only one that docker.io matches
)

// confFile is one of podman's files.
type confFile struct {
	path  string
	real  string // where path leads
	text  []byte // as it is
	plain []byte // without what setup has put in
	conf  registriesConf
}

func (p *Plan) podman(o Options) error {
	files, err := podmanFiles(o)
	if err != nil {
		return err
	}
	if p.Undo {
		return p.podmanWrite(files, nil)
	}
	if err := p.named(); err != nil {
		return err
	}
	own := &files[len(files)-1]
	where, prefix, search := ruleOf(files)
	p.podmanNotes(files, where, prefix, search)
	insecure, err := version1(files)
	if err != nil {
		return err
	}
	after := map[string][]byte{}
	if where >= 0 && files[where].real != own.real {
		f := files[where]
		if after[f.real], err = addMirrorBlock(f.plain, prefix, p.Server); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrConfig, f.path, engineMarks.shifted(f.text, err))
		}
	}
	made, err := p.madeLine(own.path, own.text)
	if err != nil {
		return err
	}
	registry := registryLines(p.Server, insecure)
	if where >= 0 {
		registry = nil
	}
	if after[own.real], err = ownDropIn(own.plain, registry, search == nil, made...); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrConfig, own.path, err)
	}
	p.check = func(ctx context.Context) error { return o.parses(ctx, prefix, p.Server) }
	return p.podmanWrite(files, after)
}

// ruleOf finds the file whose rule counts for docker.io, and the rule: one for
// docker.io itself, else a wildcard, which a rule of ours would take docker.io away
// from. Where is -1 when there is none.
func ruleOf(files []confFile) (where int, prefix string, search *[]string) {
	where, prefix = -1, hub
	for _, p := range []string{hub, wildcard} {
		for i, f := range files {
			if f.conf.rule(p) >= 0 {
				where, prefix = i, p
			}
		}
		if where >= 0 {
			break
		}
	}
	for _, f := range files {
		if s := f.conf.search(); s != nil {
			search = s
		}
	}
	return where, prefix, search
}

// version1 looks at what files of version 1 say of docker.io, which a rule of ours would
// replace as a whole: whether it is asked without TLS; a block, beside which no mirror
// counts, is refused.
func version1(files []confFile) (insecure bool, err error) {
	for _, f := range files {
		if f.conf.V1.Block.names(hub) {
			found, _, err := parseTOML(f.plain)
			if err != nil {
				return false, fmt.Errorf("%w: %s: %w", ErrConfig, f.path, err)
			}
			return false, fmt.Errorf("%w: %s, line %d: docker.io is blocked ([registries.block]), and a mirror of it would unblock it: take it out of that list by hand; or pull by an address of the server, such as podman pull 127.0.0.1:5000/ciq…/app",
				ErrConfig, f.path, engineMarks.lineIn(f.text, lineOfKey(f.plain, found, "registries", "block", "registries")))
		}
		insecure = insecure || f.conf.V1.Insecure.names(hub)
	}
	return insecure, nil
}

// parses asks podman how it reads the files that were written.
func (o Options) parses(ctx context.Context, prefix, server string) error {
	program := o.program("podman")
	if program == nil {
		return nil
	}
	out, err := ask(ctx, program, "info", "--format", "{{json .Registries}}")
	if err != nil && strings.Contains(err.Error(), "registr") {
		return fmt.Errorf("podman does not take the new configuration: %w", err)
	}
	var read map[string]json.RawMessage
	if err != nil || json.Unmarshal([]byte(out), &read) != nil {
		return nil // it fails for another reason, and so it did before
	}
	var rule struct{ Mirrors []struct{ Location string } }
	_, host, _ := strings.Cut(server, "://")
	if json.Unmarshal(read[prefix], &rule) != nil || len(rule.Mirrors) == 0 || rule.Mirrors[0].Location != host {
		return fmt.Errorf("podman info does not show the mirror %s of %s: another file counts for podman; set the mirror there by hand", host, prefix)
	}
	return nil
}

// podmanWrite plans the files; those that are not in after lose our blocks.
func (p *Plan) podmanWrite(files []confFile, after map[string][]byte) error {
	for _, f := range files {
		text, ok := after[f.real]
		if !ok {
			text = f.plain
		}
		if err := p.textChange(f.path, f.text, text, true); err != nil {
			return err
		}
	}
	return nil
}

// podmanNotes says what of the configuration keeps podman from asking us.
func (p *Plan) podmanNotes(files []confFile, where int, prefix string, search *[]string) {
	if search != nil && !slices.Equal(*search, []string{hub}) {
		p.note("unqualified-search-registries is %q and stays so: podman pull docker.io/ciq…/app always works, without docker.io/ podman goes by that list", *search)
	}
	for _, f := range files {
		for _, r := range f.conf.Registry {
			if name := strings.TrimRight(cmp.Or(r.Prefix, r.Location), "/"); name == hub+"/library" {
				p.note("%s has a rule for %s, which counts for ciq… without a repository: pull ciq…/app", f.path, name)
			}
		}
	}
	if where < 0 {
		return
	}
	rule := files[where].conf.Registry[files[where].conf.rule(prefix)]
	if rule.Blocked {
		p.note("%s blocks docker.io, so podman pulls nothing by a name without a host", files[where].path)
	}
	if rule.ByDigestOnly {
		p.note("%s has mirror-by-digest-only, so podman asks for tags only at docker.io: pull by ciq…/app@sha256:…", files[where].path)
	}
}

// search are the registries tried for names without a host, nil when unset.
func (c registriesConf) search() *[]string {
	if c.Unqualified != nil {
		return c.Unqualified
	}
	if list := c.V1.Search.Registries; len(list) > 0 {
		return &list
	}
	return nil
}

// podmanPaths are the main file and the directories with drop-ins, as seen from
// here, and the directory for ours. A user's main file, root's too, makes podman
// leave out the system's files, drop-ins as well (containers-registries.conf(5)).
func podmanPaths(o Options) (main string, dirs []string, own string) {
	const system, user = "/etc/containers/registries.conf", ".config/containers/registries.conf"
	ofUser := filepath.Join(o.Home, user)
	switch named := cmp.Or(o.variable("CONTAINERS_REGISTRIES_CONF"), o.variable("REGISTRIES_CONFIG_PATH")); {
	case o.Config != "":
		main, dirs = o.Config, []string{o.Config + ".d"}
		return main, dirs, dirs[0]
	case named != "":
		main, dirs = named, []string{system + ".d", ofUser + ".d"}
	case o.exists(ofUser):
		main, dirs = ofUser, []string{ofUser + ".d"}
	default:
		main, dirs = system, []string{system + ".d", ofUser + ".d"}
	}
	own = dirs[0]
	if o.Rootless {
		own = ofUser + ".d"
	}
	return o.at(main), o.allAt(dirs), o.at(own)
}

// podmanFiles reads podman's files in the order in which they count: the last
// one that speaks of a registry does. Our own, which may not be there yet, is
// put at the end; it says nothing that another file says.
func podmanFiles(o Options) (files []confFile, err error) {
	main, dirs, own := podmanPaths(o)
	paths := []string{main}
	for _, dir := range dirs {
		found, err := o.place().glob(filepath.Join(dir, "*.conf"))
		if err != nil {
			return nil, err
		}
		paths = append(paths, slices.DeleteFunc(found, o.place().isDir)...) // which podman passes over
	}
	own = filepath.Join(own, dropIn)
	paths = append(slices.DeleteFunc(paths, func(p string) bool { return p == own }), own)
	for _, path := range paths {
		f := confFile{path: path}
		if f.real, err = o.place().real(path); err != nil {
			return nil, err
		}
		if f.text, err = o.place().read(path); err != nil {
			return nil, err
		}
		f.plain = cutBlocks(f.text)
		if err := decodeTOML(f.plain, &f.conf); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrConfig, path, engineMarks.shifted(f.text, err))
		}
		files = append(files, f)
	}
	return files, nil
}

// mirrorLines are a mirror as registries.conf wants it.
func mirrorLines(server string) []string {
	scheme, host, _ := strings.Cut(server, "://")
	lines := []string{"[[registry.mirror]]", "location = " + quoted(host)}
	if scheme == "http" {
		lines = append(lines, "insecure = true")
	}
	return lines
}

// registryLines are a rule of ours for docker.io.
func registryLines(server string, insecure bool) []string {
	lines := []string{"# Names with a CID in them are served from IPFS; all others get a 404 there and",
		"# go on to docker.io.",
		"[[registry]]", "prefix = \"docker.io\"", "location = \"docker.io\""}
	if insecure {
		lines = append(lines, "insecure = true # as the other file has it")
	}
	return append(lines, mirrorLines(server)...)
}

// ownDropIn is the content of our file: the registry when no other file has it,
// and where to look for names without a host when no file says so. Plain is
// what others have written into it.
func ownDropIn(plain []byte, registry []string, search bool, made ...string) ([]byte, error) {
	var lines []string
	if search {
		lines = append(lines, "unqualified-search-registries = [\"docker.io\"]")
	}
	lines = append(lines, registry...)
	switch {
	case len(lines) == 0:
		return plain, nil
	case !blank(plain):
		return nil, fmt.Errorf("holds settings of others: move them to a file of another name")
	}
	return insertBlock(nil, 0, "", append(made, lines...)...), nil
}

// addMirrorBlock puts the mirror in front of the others of the registry with a
// prefix.
func addMirrorBlock(plain []byte, prefix, server string) ([]byte, error) {
	found, tree, err := parseTOML(plain)
	if err != nil {
		return nil, err
	}
	var conf registriesConf
	if err := decodeTOML(plain, &conf); err != nil {
		return nil, err
	}
	n := conf.rule(prefix)
	_, host, _ := strings.Cut(server, "://")
	for _, m := range conf.Registry[n].Mirror {
		if strings.TrimRight(m.Location, "/") == host {
			return plain, nil // written by the user
		}
	}
	at, seen, inside := len(plain), -1, false
	for _, e := range found {
		if e.header() && inside {
			at = aboveComments(plain, e.line)
			break
		}
		if e.kind == unstable.ArrayTable && slices.Equal(e.table, []string{"registry"}) {
			seen++
			inside = seen == n
		}
	}
	after := insertBlock(plain, at, "", mirrorLines(server)...)
	return after, byHand(checkMirror(tree, after, n, host), lineOfKey(plain, found, "registry"), "[[registry.mirror]] with location = "+quoted(host)+" in front of the mirrors of "+prefix)
}

// checkMirror makes sure that an edit did what it should and nothing else.
func checkMirror(before map[string]any, after []byte, n int, host string) error {
	_, tree, err := parseTOML(after)
	if err != nil {
		return fmt.Errorf("%w: %w", errByHand, err)
	}
	registries, _ := tree["registry"].([]any)
	if n >= len(registries) {
		return errByHand
	}
	registry, _ := registries[n].(map[string]any)
	mirrors, _ := registry["mirror"].([]any)
	if len(mirrors) == 0 {
		return errByHand
	}
	first, _ := mirrors[0].(map[string]any)
	if registry["mirror"] = mirrors[1:]; len(mirrors) == 1 {
		delete(registry, "mirror")
	}
	if first["location"] != host || !reflect.DeepEqual(before, tree) {
		return errByHand
	}
	return nil
}
