// Lines in errors are those of the file as it is, with what setup has put in.

package setup

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// lineError is an error about a line, the first being 1.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }
func (e *lineError) Unwrap() error { return e.err }

// lineIn is where a line of the text without blocks stands in the text.
func (m marks) lineIn(text []byte, line int) int {
	inside, plain, number := false, 0, 0
	for at := 0; at < len(text); {
		end := lineEnd(text, at)
		content := string(bytes.TrimSpace(text[at:end]))
		number++
		switch {
		case !inside && content == m.begin && bytes.Contains(text[end:], []byte(m.end)):
			inside = true
		case inside && content == m.end:
			inside = false
		case !inside || strings.HasPrefix(content, markerWas):
			if plain++; plain == line {
				return number
			}
		}
		at = end
	}
	return line
}

// shifted is an error about the text without blocks, as one about the text.
func (m marks) shifted(text []byte, err error) error {
	if at, ok := errors.AsType[*lineError](err); ok {
		at.line = m.lineIn(text, at.line)
	}
	if _, ok := errors.AsType[*toml.DecodeError](err); ok {
		var tree map[string]any
		if whole := decodeTOML(text, &tree); whole != nil {
			return whole
		}
	}
	return err
}
