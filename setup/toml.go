// Edits of TOML files: lines go in between two marker comments, and out again
// with them. Everything else keeps its bytes.

package setup

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

const (
	markerBegin = "# >>> image2ipfs setup (taken out again by: image2ipfs setup --undo) >>>"
	markerEnd   = "# <<< image2ipfs setup <<<"
	markerWas   = "# was: " // a line of the user that ours stands in for
)

// marks are the comments between which lines go in, and the ending of the file that
// keeps what was there. Setup of stargz-snapshotter has its own, since it edits files
// that setup of containerd edits, too: each takes out what is its own, in any order.
type marks struct{ begin, end, backup string }

var (
	engineMarks = marks{markerBegin, markerEnd, backupSuffix}
	stargzMarks = marks{
		"# >>> image2ipfs setup stargz (taken out again by: image2ipfs setup stargz --undo) >>>",
		"# <<< image2ipfs setup stargz <<<",
		".image2ipfs-stargz-backup",
	}
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

// decodeTOML reads a text into what v points to, and says in which line it is not TOML.
func decodeTOML(text []byte, v any) error {
	err := toml.Unmarshal(text, v)
	if at, ok := errors.AsType[*toml.DecodeError](err); ok {
		row, column := at.Position()
		return fmt.Errorf("not TOML: line %d, column %d: %w", row, column, err)
	}
	if err != nil {
		return fmt.Errorf("not TOML: %w", err)
	}
	return nil
}

// parseTOML lists what a text says, in order, and as a tree.
func parseTOML(text []byte) ([]expression, map[string]any, error) {
	tree := map[string]any{}
	if err := decodeTOML(text, &tree); err != nil {
		return nil, nil, err
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

// lineOfKey is the line in which a key or table is set, or the one nearest to it, the
// first being 1; 0 for nowhere.
func lineOfKey(text []byte, found []expression, path ...string) (line int) {
	for _, e := range found {
		whole := e.path()
		if len(whole) >= len(path) && slices.Equal(whole[:len(path)], path) || len(whole) <= len(path) && slices.Equal(whole, path[:len(whole)]) {
			line = lineAt(text, e.line)
			if len(whole) >= len(path) {
				break
			}
		}
	}
	return line
}

// lineAt is the line of an offset, the first being 1.
func lineAt(text []byte, offset int) int { return 1 + bytes.Count(text[:offset], []byte("\n")) }

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

// marks are those between which lines go in.
func (o Options) marks() marks {
	if o.stargz {
		return stargzMarks
	}
	return engineMarks
}

// insertBlock, replaceLine and cutBlocks are those of engines.
func insertBlock(text []byte, at int, indent string, lines ...string) []byte {
	return engineMarks.insert(text, at, indent, lines...)
}

func replaceLine(text []byte, line int, lines ...string) []byte {
	return engineMarks.replace(text, line, lines...)
}

func cutBlocks(text []byte) []byte { return engineMarks.cut(text) }

// insert puts lines between markers in at a place that begins a line, or
// at the end of a text whose last line may lack its end.
func (m marks) insert(text []byte, at int, indent string, lines ...string) []byte {
	newline := "\n"
	if bytes.Contains(text, []byte("\r\n")) {
		newline = "\r\n"
	}
	all := append(append([]string{m.begin}, lines...), m.end)
	block := indent + strings.Join(all, newline+indent)
	if at == len(text) && at > 0 && text[at-1] != '\n' {
		block = newline + block
	} else {
		block += newline
	}
	return bytes.Join([][]byte{text[:at], text[at:]}, []byte(block))
}

// replace puts lines between markers in place of a line, which stays in a
// comment.
func (m marks) replace(text []byte, line int, lines ...string) []byte {
	end := lineEnd(text, line)
	body := strings.TrimRight(string(text[line:end]), "\r\n")
	indent := body[:len(body)-len(strings.TrimLeft(body, " \t"))]
	tail := append([]byte(strings.TrimPrefix(string(text[line:end]), body)), text[end:]...)
	block := m.insert(nil, 0, indent, append([]string{markerWas + body[len(indent):]}, lines...)...)
	if bytes.Contains(text, []byte("\r\n")) {
		block = bytes.ReplaceAll(block, []byte("\n"), []byte("\r\n"))
	}
	return bytes.Join([][]byte{text[:line], withoutLineEnd(block), tail}, nil)
}

// cut is the inverse of insert and replace.
func (m marks) cut(text []byte) []byte {
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
		case !inside && content == m.begin && bytes.Contains(text[end:], []byte(m.end)):
			inside, newline = true, lineEnding(line)
		case inside && content == m.end:
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

// withoutBlocks is a text without what any setup has put in.
func withoutBlocks(text []byte) []byte { return stargzMarks.cut(engineMarks.cut(text)) }

// keepVersion gives the version line, which went with the block of one setup, to that
// of the other, which is at the top of a file that setup has made.
func keepVersion(before, after []byte) []byte {
	_, was, err := parseTOML(before)
	version, ok := was["version"].(int64)
	if err != nil || !ok || !bytes.HasPrefix(after, []byte(markerBegin)) && !bytes.HasPrefix(after, []byte(stargzMarks.begin)) {
		return after
	}
	if _, is, err := parseTOML(after); err != nil || is["version"] != nil {
		return after
	}
	at := lineEnd(after, 0)
	line := fmt.Appendf(nil, "version = %d%s", version, lineEnding(after[:at]))
	return bytes.Join([][]byte{after[:at], after[at:]}, line)
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
