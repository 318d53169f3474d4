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
// only that is spoken of, which counts for docker.io then.
func addEndpoint(text []byte, server string, made ...string) ([]byte, error) {
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
	if _, rewrite := yamlValue(hub, "rewrite"); rewrite != nil {
		return nil, fmt.Errorf("line %d: the mirror of %s rewrites names, those with a CID too: write a rewrite that leaves out ^ciq by hand", rewrite.Line, host)
	}
	if endpoints != nil && slices.ContainsFunc(endpoints.Content, func(n *yaml.Node) bool { return strings.TrimRight(n.Value, "/") == server }) {
		return text, nil // written by the user
	}
	after, err := insertEndpoint(text, server, made, mirrors, key, hub, endpoints)
	if err != nil {
		return nil, err
	}
	line := 1
	if key != nil {
		line = key.Line
	} else if mirrors != nil {
		line = mirrors.Line
	}
	return after, byHand(checkEndpoint(before, after, host, server), line, endpointWanted(server))
}

// insertEndpoint writes the lines where they belong.
func insertEndpoint(text []byte, server string, made []string, mirrors, key, hub, endpoints *yaml.Node) ([]byte, error) {
	item := "- " + quoted(server)
	switch {
	case mirrors == nil:
		lines := append(slices.Clone(made), "mirrors:", "  docker.io:", "    endpoint:", "      "+item)
		return insertBlock(text, len(text), "", lines...), nil
	case endpoints != nil && len(endpoints.Content) > 0 && endpoints.Style&yaml.FlowStyle == 0:
		first := endpoints.Content[0]
		line := lineOf(text, first.Line)
		indent := string(text[line : line+bytes.IndexByte(text[line:], '-')])
		return insertBlock(text, line, indent, item), nil
	case hub == nil && mirrors.Kind == yaml.MappingNode && mirrors.Style&yaml.FlowStyle == 0 && len(mirrors.Content) > 0:
		first := mirrors.Content[0]
		indent := strings.Repeat(" ", first.Column-1)
		return insertBlock(text, lineOf(text, first.Line), indent, "docker.io:", "  endpoint:", "    "+item), nil
	case hub != nil && endpoints == nil && hub.Kind == yaml.MappingNode && hub.Style&yaml.FlowStyle == 0 && len(hub.Content) > 0:
		first := hub.Content[0]
		return insertBlock(text, lineOf(text, first.Line), strings.Repeat(" ", first.Column-1), "endpoint:", "  "+item), nil
	}
	at := mirrors.Line
	if key != nil {
		at = key.Line
	}
	return nil, byHand(errByHand, at, endpointWanted(server))
}

func endpointWanted(server string) string {
	return "mirrors: docker.io: endpoint: [" + quoted(server) + ", …]"
}

// checkEndpoint makes sure that an edit did what it should and nothing else.
func checkEndpoint(before map[string]any, after []byte, host, server string) error {
	var tree map[string]any
	if err := yaml.Unmarshal(after, &tree); err != nil {
		return fmt.Errorf("%w: %w", errByHand, err)
	}
	hub := subtree(tree, "mirrors", host)
	list, _ := hub["endpoint"].([]any)
	if len(list) == 0 || list[0] != server {
		return errByHand
	}
	old := subtree(before, "mirrors", host)
	rest, _ := old["endpoint"].([]any)
	if !slices.Equal(list[1:], rest) || !sameBut(old, hub, "endpoint") || !sameBut(before, tree, "mirrors") || !sameBut(subtree(before, "mirrors"), subtree(tree, "mirrors"), host) {
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
