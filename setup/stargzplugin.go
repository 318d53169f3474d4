// What containerd is told of stargz-snapshotter: that it is there (proxy_plugins), and
// that the transfer service may unpack into it.

package setup

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// transferTable is the plugin's by which ctr pulls since containerd 2.0.
var transferTable = []string{"plugins", "io.containerd.transfer.v1.local"}

// pluginEdits changes the plain texts of config.toml and its imports.
type pluginEdits struct {
	files    []*criFile
	snap     *snapshotter // its socket becomes what the files name
	transfer bool         // the transfer service is told, too
	made     func(*criFile) ([]string, error)
	told     map[*criFile]bool // whose block says who has made the file
}

// plan does the edits. A whole table of a plugin counts from the last file that has
// it, so that what is in a table already is changed there, and all else in the first.
func (e pluginEdits) plan() error {
	proxy, transfer := e.holder("proxy_plugins", "stargz"), e.holder(transferTable...)
	if err := e.proxyTable(proxy); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrConfig, proxy.seen, err)
	}
	if !e.transfer {
		return nil
	}
	if err := e.edit(transfer, unpackInto); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrConfig, transfer.seen, err)
	}
	return nil
}

// holder is the last file with a table, else the first file.
func (e pluginEdits) holder(table ...string) *criFile {
	for _, f := range slices.Backward(e.files) {
		if subtree(f.tree, table...) != nil {
			return f
		}
	}
	return e.files[0]
}

// edit replaces the plain text of a file by what change makes of it, and looks whether
// that says what change's tree does.
func (e pluginEdits) edit(f *criFile, change func(f *criFile, lines []string) ([]byte, map[string]any, error)) error {
	var made []string
	if !e.told[f] {
		var err error
		if made, err = e.made(f); err != nil {
			return err
		}
	}
	isNew := f.plain == nil
	if isNew {
		made = append(made, "version = 2")
	}
	after, want, err := change(f, made)
	if err != nil || after == nil {
		return err
	}
	if isNew {
		want["version"] = int64(2)
	}
	found, tree, err := parseTOML(after)
	if err != nil {
		return fmt.Errorf("%w: %w", errByHand, err)
	}
	if !reflect.DeepEqual(tree, want) {
		return errByHand
	}
	f.plain, f.found, f.tree, e.told[f] = after, found, tree, true
	return nil
}

// proxyTable tells containerd of the snapshotter, unless the user has.
func (e pluginEdits) proxyTable(f *criFile) error {
	plugin := subtree(f.tree, "proxy_plugins", "stargz")
	if plugin == nil {
		return e.edit(f, e.newProxy)
	}
	address, _ := plugin["address"].(string)
	address = strings.TrimPrefix(address, "unix://")
	line := f.line([]string{"proxy_plugins", "stargz"})
	switch {
	case plugin["type"] != "snapshot":
		return fmt.Errorf("line %d: proxy_plugins.stargz is of type %v, want type = \"snapshot\"", line, plugin["type"])
	case address == "":
		return fmt.Errorf("line %d: proxy_plugins.stargz has no address: write address = %s", line, quoted(e.snap.socket))
	case e.snap.socket != stargzSocket && address != e.snap.socket:
		return fmt.Errorf("line %d: proxy_plugins.stargz leads to %s, and containerd-stargz-grpc listens at %s: write that there, or --address %s in its unit", line, address, e.snap.socket, address)
	}
	e.snap.socket = address
	exports, _ := plugin["exports"].(map[string]any)
	if !e.transfer || exports["enable_remote_snapshot_annotations"] == "true" {
		return nil
	}
	return e.edit(f, annotate)
}

// newProxy adds the whole table.
func (e pluginEdits) newProxy(f *criFile, lines []string) ([]byte, map[string]any, error) {
	const table = "[proxy_plugins.stargz"
	lines = append(lines, table+"]", "  type = \"snapshot\"", "  address = "+quoted(e.snap.socket),
		table+".exports]", "  root = "+quoted(e.snap.root), "  enable_remote_snapshot_annotations = \"true\"")
	want := with(f.tree, map[string]any{
		"type": "snapshot", "address": e.snap.socket,
		"exports": map[string]any{"root": e.snap.root, "enable_remote_snapshot_annotations": "true"},
	}, "proxy_plugins", "stargz")
	return stargzMarks.insert(f.plain, len(f.plain), "", lines...), want, nil
}

// annotate has containerd tell the snapshotter which image a layer is of, in a table
// of the user's.
func annotate(f *criFile, lines []string) ([]byte, map[string]any, error) {
	exports := []string{"proxy_plugins", "stargz", "exports"}
	const setting = "  enable_remote_snapshot_annotations = \"true\""
	path := append(slices.Clone(exports), "enable_remote_snapshot_annotations")
	want := with(f.tree, "true", path...)
	if own := slices.IndexFunc(f.found, func(x expression) bool { return !x.header() && slices.Equal(x.path(), path) }); own >= 0 {
		return nil, nil, fmt.Errorf("line %d: enable_remote_snapshot_annotations is not \"true\", so that containerd's transfer service does not tell the snapshotter of images: write \"true\" there", f.line(path))
	}
	if header := slices.IndexFunc(f.found, func(x expression) bool { return isTable(x, exports...) }); header >= 0 {
		return stargzMarks.insert(f.plain, lineEnd(f.plain, f.found[header].line), "", append(lines, setting)...), want, nil
	}
	if subtree(f.tree, exports...) != nil {
		return nil, nil, fmt.Errorf("line %d: %w: proxy_plugins.stargz.exports lacks enable_remote_snapshot_annotations = \"true\"", f.line(exports), errByHand)
	}
	return stargzMarks.insert(f.plain, len(f.plain), "", append(lines, "[proxy_plugins.stargz.exports]", setting)...), want, nil
}

// unpackInto lets the transfer service unpack into the snapshotter. A list that is not
// there stands for overlayfs, which has to be named once another is.
func unpackInto(f *criFile, lines []string) ([]byte, map[string]any, error) {
	path := append(slices.Clone(transferTable), "unpack_config")
	list, _ := subtree(f.tree, transferTable...)["unpack_config"].([]any)
	entry := func(snapshotter string) any {
		return map[string]any{"platform": "linux", "snapshotter": snapshotter}
	}
	if slices.ContainsFunc(list, func(x any) bool { m, _ := x.(map[string]any); return m["snapshotter"] == "stargz" }) {
		return nil, nil, nil
	}
	added := []any{entry("stargz")}
	if len(list) == 0 {
		added = []any{entry("overlayfs"), entry("stargz")}
	}
	want := with(f.tree, append(slices.Clone(list), added...), path...)
	own := slices.IndexFunc(f.found, func(x expression) bool {
		return x.kind == unstable.KeyValue && slices.Equal(x.path(), path)
	})
	if own >= 0 {
		after, err := longerList(f, f.found[own].line, len(list) > 0, added)
		return after, want, err
	}
	for _, x := range added {
		m, _ := x.(map[string]any)
		lines = append(lines, "[["+transferTable[0]+"."+quoted(transferTable[1])+".unpack_config]]",
			"  platform = \"linux\"", fmt.Sprintf("  snapshotter = %q", m["snapshotter"]))
	}
	return stargzMarks.insert(f.plain, len(f.plain), "", lines...), want, nil
}

// longerList adds entries to a list that is written in one line.
func longerList(f *criFile, line int, some bool, added []any) ([]byte, error) {
	text := strings.TrimRight(string(f.plain[line:lineEnd(f.plain, line)]), "\r\n")
	head, ok := strings.CutSuffix(strings.TrimSpace(text), "]")
	if !ok {
		return nil, fmt.Errorf("line %d: %w: unpack_config is no list in one line, and lacks {platform = \"linux\", snapshotter = \"stargz\"}", lineAt(f.plain, line), errByHand)
	}
	var entries []string
	for _, x := range added {
		m, _ := x.(map[string]any)
		entries = append(entries, fmt.Sprintf("{platform = \"linux\", snapshotter = %q}", m["snapshotter"]))
	}
	if some {
		head += ", "
	}
	return stargzMarks.replace(f.plain, line, head+strings.Join(entries, ", ")+"]"), nil
}

// with is a tree in which a path has a value; what is beside the path is shared.
func with(tree map[string]any, value any, path ...string) map[string]any {
	if len(path) == 0 {
		return tree
	}
	key, rest := path[0], path[1:]
	out := map[string]any{}
	maps.Copy(out, tree)
	if out[key] = value; len(rest) > 0 {
		below, _ := tree[key].(map[string]any)
		out[key] = with(below, value, rest...)
	}
	return out
}
