// Edits of TOML files: lines go in between two marker comments, and out again
// with them. Everything else keeps its bytes.

package setup

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

const (
	markerBegin = "# >>> image2ipfs setup (taken out again by: image2ipfs setup --undo) >>>"
	markerEnd   = "# <<< image2ipfs setup <<<"
	markerWas   = "# was: " // a line of the user that ours stands in for
)

// expression is a table header or a key with a value.
type expression struct {
	kind  unstable.Kind
	table []string // the table it stands in, or is
	array bool     // that table is an element of an array of tables
	key   []string // of a key-value, as written
	line  int      // offset of the beginning of its line
}

// header tells whether the expression begins a table.
func (e expression) header() bool { return e.kind != unstable.KeyValue }

// path is the whole key of a key-value or table.
func (e expression) path() []string {
	return append(append([]string{}, e.table...), e.key...)
}

// parseTOML lists what a text says, in order, and as a tree.
func parseTOML(text []byte) ([]expression, map[string]any, error) {
	tree := map[string]any{}
	if err := toml.Unmarshal(text, &tree); err != nil {
		if at, ok := errors.AsType[*toml.DecodeError](err); ok {
			row, column := at.Position()
			return nil, nil, fmt.Errorf("not TOML: line %d, column %d: %w", row, column, err)
		}
		return nil, nil, fmt.Errorf("not TOML: %w", err)
	}
	var p unstable.Parser
	p.Reset(text)
	var found []expression
	var table []string
	var array bool
	for p.NextExpression() {
		node := p.Expression()
		if node.Kind != unstable.Table && node.Kind != unstable.ArrayTable && node.Kind != unstable.KeyValue {
			continue
		}
		e := expression{kind: node.Kind, line: -1}
		for it := node.Key(); it.Next(); {
			if e.line < 0 {
				e.line = lineStart(text, int(it.Node().Raw.Offset))
			}
			e.key = append(e.key, string(it.Node().Data))
		}
		if e.header() {
			table, array = e.key, node.Kind == unstable.ArrayTable
			e.key = nil
		}
		e.table, e.array = table, array
		found = append(found, e)
	}
	return found, tree, p.Error()
}

func lineStart(text []byte, offset int) int {
	return bytes.LastIndexByte(text[:offset], '\n') + 1
}

// aboveComments moves a place up over the comments that belong to its line.
func aboveComments(text []byte, line int) int {
	for line > 0 {
		before := lineStart(text, line-1)
		if !bytes.HasPrefix(bytes.TrimLeft(text[before:line], " \t"), []byte("#")) {
			break
		}
		line = before
	}
	return line
}

// lineEnd is the offset behind a line that begins at offset line.
func lineEnd(text []byte, line int) int {
	if i := bytes.IndexByte(text[line:], '\n'); i >= 0 {
		return line + i + 1
	}
	return len(text)
}

// insertBlock puts lines between markers in at a place that begins a line, or
// at the end of a text whose last line may lack its end.
func insertBlock(text []byte, at int, indent string, lines ...string) []byte {
	newline := "\n"
	if bytes.Contains(text, []byte("\r\n")) {
		newline = "\r\n"
	}
	all := append(append([]string{markerBegin}, lines...), markerEnd)
	block := indent + strings.Join(all, newline+indent)
	if at == len(text) && at > 0 && text[at-1] != '\n' {
		block = newline + block
	} else {
		block += newline
	}
	return bytes.Join([][]byte{text[:at], text[at:]}, []byte(block))
}

// replaceLine puts lines between markers in place of a line, which stays in a
// comment.
func replaceLine(text []byte, line int, lines ...string) []byte {
	end := lineEnd(text, line)
	body := strings.TrimRight(string(text[line:end]), "\r\n")
	indent := body[:len(body)-len(strings.TrimLeft(body, " \t"))]
	tail := append([]byte(strings.TrimPrefix(string(text[line:end]), body)), text[end:]...)
	block := insertBlock(nil, 0, indent, append([]string{markerWas + body[len(indent):]}, lines...)...)
	if bytes.Contains(text, []byte("\r\n")) {
		block = bytes.ReplaceAll(block, []byte("\n"), []byte("\r\n"))
	}
	return bytes.Join([][]byte{text[:line], withoutLineEnd(block), tail}, nil)
}

// cutBlocks is the inverse of insertBlock and replaceLine.
func cutBlocks(text []byte) []byte {
	if text == nil {
		return nil
	}
	out := make([]byte, 0, len(text))
	inside, newline := false, ""
	for at := 0; at < len(text); {
		end := lineEnd(text, at)
		line := text[at:end]
		content := string(bytes.TrimSpace(line))
		switch {
		case !inside && content == markerBegin && bytes.Contains(text[end:], []byte(markerEnd)):
			inside, newline = true, lineEnding(line)
		case inside && content == markerEnd:
			inside = false
			if !bytes.HasSuffix(line, []byte("\n")) { // so the last line had no end before
				out = bytes.TrimSuffix(out, []byte(newline))
			}
		case inside && strings.HasPrefix(content, markerWas):
			indent, was, _ := bytes.Cut(line, []byte(markerWas))
			out = append(append(out, indent...), was...)
		case !inside:
			out = append(out, line...)
		}
		at = end
	}
	return out
}

// lineEnding is how a line ends: in "\n" or "\r\n".
func lineEnding(line []byte) string {
	if bytes.HasSuffix(line, []byte("\r\n")) {
		return "\r\n"
	}
	return "\n"
}

func withoutLineEnd(text []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
}

// blank tells whether nothing is in a file.
func blank(text []byte) bool { return len(bytes.TrimSpace(text)) == 0 }
