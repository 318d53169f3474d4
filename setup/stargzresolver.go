// The snapshotter's own configuration: which hosts it asks for the layers of names, in
// which order (fs/remote and service/resolver of stargz-snapshotter).

package setup

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/pelletier/go-toml/v2/unstable"
)

// resolverTOML puts the server in front of docker.io's mirrors, and says of one that
// speaks HTTP elsewhere than on the loopback that it does, for names with it in front.
// The registry itself stays the last resort.
func resolverTOML(text []byte, server string, made ...string) ([]byte, error) {
	found, tree, err := parseTOML(text)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	hosts := []string{hub}
	if local, err := docker.MatchLocalhost(u.Host); err != nil {
		return nil, err
	} else if !local && u.Scheme == "http" {
		hosts = append(hosts, u.Host)
	}
	lines, want := made, tree
	for _, host := range hosts {
		path := []string{"resolver", "host", host, "mirrors"}
		list, _ := subtree(tree, path[:3]...)["mirrors"].([]any)
		known, err := mirrored(list, u, lineOfKey(text, found, path...))
		if err != nil {
			return nil, err
		}
		if known {
			continue
		}
		entry := map[string]any{"host": u.Host}
		lines = append(lines, "[[resolver.host."+quoted(host)+".mirrors]]", "  host = "+quoted(u.Host))
		if u.Scheme == "http" {
			entry["insecure"] = true
			lines = append(lines, "  insecure = true")
		}
		want = with(want, append([]any{entry}, list...), path...)
	}
	if len(lines) == len(made) {
		return text, nil // written by the user
	}
	return placed(text, found, hosts, lines, want)
}

// mirrored tells whether the user has named the server.
func mirrored(list []any, u *url.URL, line int) (bool, error) {
	for _, item := range list {
		m, _ := item.(map[string]any)
		if m["host"] != u.Host {
			continue
		}
		if insecure, _ := m["insecure"].(bool); insecure != (u.Scheme == "http") {
			return false, fmt.Errorf("line %d: the mirror %s has insecure = %v, by which stargz-snapshotter does not speak %s to it: set it to %v, or take the mirror out", line, u.Host, insecure, u.Scheme, !insecure)
		}
		return true, nil
	}
	return false, nil
}

// placed puts the lines in front of the mirrors that are there, and looks whether
// that says what it should.
func placed(text []byte, found []expression, hosts, lines []string, want map[string]any) ([]byte, error) {
	at := len(text)
	if i := slices.IndexFunc(found, func(e expression) bool {
		return e.kind == unstable.ArrayTable && len(e.table) == 4 && e.table[0] == "resolver" && slices.Contains(hosts, e.table[2]) && e.table[3] == "mirrors"
	}); i >= 0 {
		at = aboveComments(text, found[i].line)
	}
	after := stargzMarks.insert(text, at, "", lines...)
	_, tree, err := parseTOML(after)
	if err == nil && reflect.DeepEqual(tree, want) {
		return after, nil
	}
	line := lineOfKey(text, found, "resolver", "host", hosts[0], "mirrors")
	return nil, byHand(errByHand, line, "[[resolver.host."+quoted(hosts[0])+".mirrors]] with host and insecure, in front of the others")
}
