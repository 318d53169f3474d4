// Diffs are shown on terminals, in pods' logs and in tickets: what is secret in a
// configuration is not.

package setup

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/image2ipfs/image2ipfs/internal/redact"
)

// hiddenName is a key whose value is not shown.
const hiddenName = `[\w.-]*(?i:auth|passw|token|secret|header|credential|api[-_]?key)[\w.-]*`

var (
	// secretPair is a key and its value, wherever they stand in a line of JSON, TOML or YAML.
	secretPair = regexp.MustCompile(`(["']?\b` + hiddenName + `["']?\s*[:=]\s*)("(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s"',{}\[\]|>][^,{}\[\]]*)`)
	// secretLine is a key at the beginning of a line, of which all belongs to the value, and
	// deeper lines behind it.
	secretLine = regexp.MustCompile(`^(\s*(?:-\s+)?["']?` + hiddenName + `["']?\s*[:=])(.*)$`)
	// secretTable is the header of a table of which all values are secret.
	secretTable = regexp.MustCompile(`^\s*\[.*\b` + hiddenName + `["']?\s*\]+\s*(?:#.*)?$`)
	tableHeader = regexp.MustCompile(`^\s*\[.*\]\s*(?:#.*)?$`)
	anyValue    = regexp.MustCompile(`^(\s*(?:(?:-\s+)?["']?[\w.-]+["']?\s*[:=]\s*)?)\S.*$`)
)

// masked is a text, line by line, without the values of passwords, tokens and headers
// and without the users of URLs.
func masked(text []byte) []byte {
	var out []string
	table, deeper := false, -1
	for line := range strings.SplitSeq(string(text), "\n") {
		indent := len(line) - len(strings.TrimLeft(line, " \t"))
		body := strings.TrimRight(line, "\r")
		switch {
		case strings.TrimSpace(body) == "" || body[indent] == '#':
		case tableHeader.MatchString(body):
			table, deeper = secretTable.MatchString(body), -1
		case table || deeper >= 0 && indent > deeper:
			line = anyValue.ReplaceAllString(body, "${1}"+redact.Mark)
		default:
			deeper = -1
			if found := secretLine.FindStringSubmatch(body); found != nil && !isJSON(text) {
				deeper = indent
				if strings.TrimSpace(found[2]) != "" {
					line = found[1] + " " + redact.Mark
				}
			}
		}
		out = append(out, redact.Text(secretPair.ReplaceAllString(line, "${1}"+redact.Mark)))
	}
	return []byte(strings.Join(out, "\n"))
}

func isJSON(text []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) }
