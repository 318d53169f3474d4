// podman (and buildah, skopeo): a mirror of docker.io in registries.conf, where
// it is already spoken of, else in a drop-in file of its own.

package setup

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
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
		Search struct {
			Registries []string `toml:"registries"`
		} `toml:"search"`
	} `toml:"registries"`
}

// dockerHub is the place of the registry docker.io, -1 when it isn't there.
func (c registriesConf) dockerHub() int {
	for i, r := range c.Registry {
		if r.Prefix == "docker.io" || r.Prefix == "" && r.Location == "docker.io" {
			return i
		}
	}
	return -1
}

// confFile is one of podman's files.
type confFile struct {
	path  string
	text  []byte // as it is
	plain []byte // without what setup has put in
	conf  registriesConf
}

func (p *Plan) podman(o Options) error {
	files, err := podmanFiles(o)
	if err != nil {
		return err
	}
	own := &files[len(files)-1]
	where, search := -1, (*[]string)(nil)
	for i, f := range files {
		if f.conf.dockerHub() >= 0 {
			where = i
		}
		if s := f.conf.search(); s != nil {
			search = s
		}
	}
	if p.Undo {
		return p.podmanWrite(files, nil)
	}
	p.podmanNotes(files, where, search)
	after := map[string][]byte{}
	if where >= 0 && files[where].path != own.path {
		f := files[where]
		if after[f.path], err = addMirrorBlock(f.plain, p.Server); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrConfig, f.path, err)
		}
	}
	if after[own.path], err = ownDropIn(own.plain, p.Server, where < 0, search == nil); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrConfig, own.path, err)
	}
	return p.podmanWrite(files, after)
}

// podmanWrite plans the files; those that are not in after lose our blocks.
func (p *Plan) podmanWrite(files []confFile, after map[string][]byte) error {
	for _, f := range files {
		text, ok := after[f.path]
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
func (p *Plan) podmanNotes(files []confFile, where int, search *[]string) {
	if search != nil && !slices.Equal(*search, []string{"docker.io"}) {
		p.note("unqualified-search-registries is %q and stays so: podman pull docker.io/ciq…/app always works, without docker.io/ podman goes by that list", *search)
	}
	if where < 0 {
		return
	}
	hub := files[where].conf.Registry[files[where].conf.dockerHub()]
	if hub.Blocked {
		p.note("%s blocks docker.io, so podman pulls nothing by a name without a host", files[where].path)
	}
	if hub.ByDigestOnly {
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

// podmanFiles reads podman's files in the order in which they count: the last
// one that speaks of a registry does. Our own, which may not be there yet, is
// put at the end; it says nothing that another file says.
func podmanFiles(o Options) ([]confFile, error) {
	const system, user = "/etc/containers/registries.conf", ".config/containers/registries.conf"
	conf := o.file(system, user)
	dirs := []string{conf + ".d"}
	if o.Rootless && o.Config == "" {
		if _, err := os.Stat(conf); os.IsNotExist(err) {
			conf = o.at(system)
		}
		dirs = append([]string{o.at(system) + ".d"}, dirs...)
	}
	paths := []string{conf}
	for _, dir := range dirs {
		found, err := filepath.Glob(filepath.Join(strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`).Replace(dir), "*.conf"))
		if err != nil {
			return nil, err
		}
		slices.Sort(found)
		paths = append(paths, found...)
	}
	own := filepath.Join(dirs[len(dirs)-1], dropIn)
	paths = append(slices.DeleteFunc(paths, func(p string) bool { return p == own }), own)
	var files []confFile
	for _, path := range paths {
		f := confFile{path: path}
		var err error
		if f.text, err = readable(path); err != nil {
			return nil, err
		}
		f.plain = cutBlocks(f.text)
		if err := toml.Unmarshal(f.plain, &f.conf); err != nil {
			return nil, fmt.Errorf("%w: %s: not TOML: %w", ErrConfig, path, err)
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

// ownDropIn is the content of our file: the registry when no other file has it,
// and where to look for names without a host when no file says so. Plain is
// what others have written into it.
func ownDropIn(plain []byte, server string, registry, search bool) ([]byte, error) {
	var lines []string
	if search {
		lines = append(lines, "unqualified-search-registries = [\"docker.io\"]")
	}
	if registry {
		lines = append(lines, "# Names with a CID in them are served from IPFS; all others get a 404 there and",
			"# go on to docker.io.",
			"[[registry]]", "prefix = \"docker.io\"", "location = \"docker.io\"")
		lines = append(lines, mirrorLines(server)...)
	}
	switch {
	case len(lines) == 0:
		return plain, nil
	case !blank(plain):
		return nil, fmt.Errorf("holds settings of others: move them to a file of another name")
	}
	return insertBlock(nil, 0, "", lines...), nil
}

// addMirrorBlock puts the mirror in front of the others of registry docker.io.
func addMirrorBlock(plain []byte, server string) ([]byte, error) {
	found, tree, err := parseTOML(plain)
	if err != nil {
		return nil, err
	}
	var conf registriesConf
	if err := toml.Unmarshal(plain, &conf); err != nil {
		return nil, fmt.Errorf("not TOML: %w", err)
	}
	n := conf.dockerHub()
	_, host, _ := strings.Cut(server, "://")
	for _, m := range conf.Registry[n].Mirror {
		if m.Location == host {
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
	return after, checkMirror(tree, after, n, host)
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
