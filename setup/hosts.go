// hosts.toml of containerd's certs.d, which nerdctl, ctr and CRI read too.

package setup

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/pelletier/go-toml/v2/unstable"
)

// hostsDirs are the directories in certs.d that get a hosts.toml: names without
// a host mean docker.io; containerd itself takes a bare ciq… for a host.
var hostsDirs = []string{hubDir, allDir}

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
	return &lineError{max(line, 1), fmt.Errorf("%w; wanted is %s", err, wanted)}
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

// isTable tells whether an expression is the header of the table at path.
func isTable(e expression, path ...string) bool {
	return e.kind == unstable.Table && slices.Equal(e.table, path)
}
