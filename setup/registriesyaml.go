// Edits of registries.yaml, of which K3s and RKE2 make certs.d at each start.

package setup

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// addEndpoint puts the server in front of the endpoints of docker.io; of "*" when
// only that is spoken of, which counts for docker.io then. Alone says that where
// endpoints are listed K3s asks no others, so that docker.io itself becomes one, too.
func addEndpoint(text []byte, server string, alone bool, made ...string) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("not YAML: %w", err)
	}
	var before map[string]any
	if err := doc.Decode(&before); err != nil {
		return nil, fmt.Errorf("expected keys and values: %w", err)
	}
	_, mirrors := yamlValue(root(&doc), "mirrors")
	host, key, hub := "docker.io", (*yaml.Node)(nil), (*yaml.Node)(nil)
	for _, name := range []string{"docker.io", "*"} {
		if key, hub = yamlValue(mirrors, name); hub != nil {
			host = name
			break
		}
	}
	_, endpoints := yamlValue(hub, "endpoint")
	if at, rewrite := yamlValue(hub, "rewrite"); rewrite != nil {
		return nil, &lineError{at.Line, fmt.Errorf("the mirror of %s rewrites names, those with a CID too: write a rewrite that leaves out ^ciq by hand", host)}
	}
	if endpoints != nil && slices.ContainsFunc(endpoints.Content, func(n *yaml.Node) bool { return strings.TrimRight(n.Value, "/") == server }) {
		return text, nil // written by the user
	}
	servers := []string{server}
	if alone && (endpoints == nil || len(endpoints.Content) == 0) {
		if host != "docker.io" {
			return nil, &lineError{key.Line, fmt.Errorf("K3s asks no registry itself where a mirror has endpoints (disable-default-registry-endpoint), and %q has none: write docker.io: endpoint: [%s, %s] beside it by hand", host, quoted(server), quoted(hubServer))}
		}
		servers = append(servers, hubServer)
	}
	after, err := insertEndpoint(text, servers, made, mirrors, key, hub, endpoints)
	if err != nil {
		return nil, err
	}
	line := 1
	if key != nil {
		line = key.Line
	} else if mirrors != nil {
		line = mirrors.Line
	}
	return after, byHand(checkEndpoint(before, after, host, servers), line, endpointWanted(servers))
}

// insertEndpoint writes the lines where they belong.
func insertEndpoint(text []byte, servers, made []string, mirrors, key, hub, endpoints *yaml.Node) ([]byte, error) {
	items := func(indent string) (lines []string) {
		for _, server := range servers {
			lines = append(lines, indent+"- "+quoted(server))
		}
		return lines
	}
	switch {
	case mirrors == nil:
		lines := append(slices.Clone(made), "mirrors:", "  docker.io:", "    endpoint:")
		return insertBlock(text, len(text), "", append(lines, items("      ")...)...), nil
	case endpoints != nil && len(endpoints.Content) > 0 && endpoints.Style&yaml.FlowStyle == 0:
		first := endpoints.Content[0]
		line := lineOf(text, first.Line)
		indent := string(text[line : line+bytes.IndexByte(text[line:], '-')])
		return insertBlock(text, line, indent, items("")...), nil
	case hub == nil && mirrors.Kind == yaml.MappingNode && mirrors.Style&yaml.FlowStyle == 0 && len(mirrors.Content) > 0:
		first := mirrors.Content[0]
		indent := strings.Repeat(" ", first.Column-1)
		return insertBlock(text, lineOf(text, first.Line), indent, append([]string{"docker.io:", "  endpoint:"}, items("    ")...)...), nil
	case hub != nil && endpoints == nil && hub.Kind == yaml.MappingNode && hub.Style&yaml.FlowStyle == 0 && len(hub.Content) > 0:
		first := hub.Content[0]
		return insertBlock(text, lineOf(text, first.Line), strings.Repeat(" ", first.Column-1), append([]string{"endpoint:"}, items("  ")...)...), nil
	}
	at := mirrors.Line
	if key != nil {
		at = key.Line
	}
	return nil, byHand(errByHand, at, endpointWanted(servers))
}

func endpointWanted(servers []string) string {
	var list []string
	for _, server := range servers {
		list = append(list, quoted(server))
	}
	if len(servers) == 1 {
		list = append(list, "…")
	}
	return "mirrors: docker.io: endpoint: [" + strings.Join(list, ", ") + "]"
}

// checkEndpoint makes sure that an edit did what it should and nothing else.
func checkEndpoint(before map[string]any, after []byte, host string, servers []string) error {
	var tree map[string]any
	if err := yaml.Unmarshal(after, &tree); err != nil {
		return fmt.Errorf("%w: %w", errByHand, err)
	}
	hub := subtree(tree, "mirrors", host)
	list, _ := hub["endpoint"].([]any)
	old := subtree(before, "mirrors", host)
	rest, _ := old["endpoint"].([]any)
	want := []any{}
	for _, server := range servers {
		want = append(want, server)
	}
	if !slices.Equal(list, append(want, rest...)) || !sameBut(old, hub, "endpoint") || !sameBut(before, tree, "mirrors") || !sameBut(subtree(before, "mirrors"), subtree(tree, "mirrors"), host) {
		return errByHand
	}
	return nil
}

// root is a document's content, nil for an empty one.
func root(doc *yaml.Node) *yaml.Node {
	if len(doc.Content) == 0 {
		return nil
	}
	return doc.Content[0]
}

// yamlValue gives a mapping's key and value, nil when it is not there.
func yamlValue(mapping *yaml.Node, name string) (key, value *yaml.Node) {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			return mapping.Content[i], mapping.Content[i+1]
		}
	}
	return nil, nil
}

// lineOf is the offset of a line, the first being 1.
func lineOf(text []byte, line int) (at int) {
	for ; line > 1; line-- {
		at = lineEnd(text, at)
	}
	return at
}
