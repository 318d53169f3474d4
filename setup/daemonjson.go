// Edits of dockerd's daemon.json. It is strict JSON: comments are not allowed,
// so what was added is written down in a record beside it.

package setup

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
)

const mirrorsKey = "registry-mirrors"

// mirrorRecord says what setup has put into a daemon.json.
type mirrorRecord struct {
	What    string  `json:"what"`
	Mirror  string  `json:"mirror"`
	NewList bool    `json:"new_list"`           // registry-mirrors was not there before
	NewFile bool    `json:"new_file"`           // nor was the file
	NewDirs int     `json:"new_dirs,omitempty"` // nor were so many directories above it
	Was     *string `json:"was,omitempty"`      // all of a file that said nothing
	// Previous is the mirror of an earlier setup, which is there in place of Mirror if
	// setup was killed between this record and the file.
	Previous string `json:"previous,omitempty"`
}

// in is the mirror of the record that a text has, empty for none.
func (r *mirrorRecord) in(text []byte) string {
	doc, err := parseDaemonJSON(text)
	if err != nil {
		return ""
	}
	for _, mirror := range []string{r.Mirror, r.Previous} {
		if mirror != "" && doc.find(mirror) >= 0 {
			return mirror
		}
	}
	return ""
}

// byteOrderMark begins files of some editors; dockerd skips it.
var byteOrderMark = []byte("\uFEFF")

// addMirror puts a mirror in front of all others. Text is nil when there is no
// file. The record is nil when the mirror is there already.
func addMirror(text []byte, mirror string) ([]byte, *mirrorRecord, error) {
	record := &mirrorRecord{Mirror: mirror}
	if said := string(bytes.TrimSpace(text)); said == "" || said == "null" { // which dockerd reads, too
		record.NewFile, record.NewList = text == nil, true
		if was := string(text); text != nil {
			record.Was = &was
		}
		return []byte("{\n  \"" + mirrorsKey + "\": [" + quoted(mirror) + "]\n}\n"), record, nil
	}
	doc, err := parseDaemonJSON(text)
	if err != nil {
		return nil, nil, err
	}
	if doc.find(mirror) >= 0 {
		return text, nil, nil
	}
	element := hujson.Value{Value: hujson.String(mirror)}
	if doc.list == nil {
		record.NewList = true
		doc.list = &hujson.Array{Elements: []hujson.ArrayElement{element}}
		doc.addMember(mirrorsKey, doc.list)
		return doc.pack(), record, nil
	}
	if list := doc.list.Elements; len(list) > 0 {
		element.BeforeExtra = list[0].BeforeExtra
		if len(list) > 1 {
			list[0].BeforeExtra = list[1].BeforeExtra
		} else if !bytes.ContainsRune(list[0].BeforeExtra, '\n') {
			list[0].BeforeExtra = hujson.Extra(" ")
		}
	}
	doc.list.Elements = append([]hujson.ArrayElement{element}, doc.list.Elements...)
	return doc.pack(), record, nil
}

// removeMirror is the inverse of addMirror, also when other things in the file
// have changed since. Nil means that the file goes away.
func removeMirror(text []byte, record *mirrorRecord) ([]byte, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return text, nil
	}
	doc, err := parseDaemonJSON(text)
	if err != nil {
		return nil, err
	}
	mirror := record.in(text)
	if mirror == "" {
		return text, nil
	}
	i := doc.find(mirror)
	list := doc.list.Elements
	if i == 0 && len(list) > 1 {
		list[1].BeforeExtra = list[0].BeforeExtra
	}
	doc.list.Elements = slices.Delete(list, i, i+1)
	if len(doc.list.Elements) == 0 && record.NewList {
		doc.removeMember(mirrorsKey)
	}
	if empty := len(doc.object.Members) == 0; empty && record.NewFile {
		return nil, nil
	} else if empty && record.Was != nil {
		return []byte(*record.Was), nil
	}
	return doc.pack(), nil
}

// daemonJSON is a parsed daemon.json.
type daemonJSON struct {
	mark   []byte // byte order mark, if there is one
	value  hujson.Value
	object *hujson.Object
	list   *hujson.Array // of mirrors; nil when there is none
}

func parseDaemonJSON(text []byte) (*daemonJSON, error) {
	doc := &daemonJSON{}
	if rest, ok := bytes.CutPrefix(text, byteOrderMark); ok {
		doc.mark, text = byteOrderMark, rest
	}
	var err error
	if doc.value, err = hujson.Parse(bytes.Clone(text)); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if !doc.value.IsStandard() || !json.Valid(text) {
		return nil, fmt.Errorf("not JSON as dockerd reads it: line %d: comments and trailing commas are not allowed there", strictly(text, doc.value))
	}
	var ok bool
	if doc.object, ok = doc.value.Value.(*hujson.Object); !ok {
		return nil, fmt.Errorf("expected a JSON object, found %s", shortened(text))
	}
	for _, m := range doc.object.Members {
		name, _ := m.Name.Value.(hujson.Literal)
		if name.String() != mirrorsKey {
			continue
		}
		if doc.list != nil {
			return nil, fmt.Errorf("line %d: %q is there twice", lineAt(text, m.Name.StartOffset), mirrorsKey)
		}
		if doc.list, err = stringList(m.Value); err != nil {
			return nil, fmt.Errorf("line %d: %w", lineAt(text, m.Name.StartOffset), err)
		}
	}
	return doc, nil
}

// strictly is the line of the first comment or trailing comma of a text, which
// standardizing leaves spaces in place of.
func strictly(text []byte, value hujson.Value) int {
	strict := value.Clone()
	strict.Standardize()
	for i, c := range strict.Pack() {
		if i < len(text) && text[i] != c {
			return lineAt(text, i)
		}
	}
	return 1
}

func stringList(v hujson.Value) (*hujson.Array, error) {
	list, ok := v.Value.(*hujson.Array)
	if !ok {
		return nil, fmt.Errorf("%q: expected a list of URLs, found %s", mirrorsKey, shortened(v.Pack()))
	}
	for _, e := range list.Elements {
		if e.Value.Kind() != '"' {
			return nil, fmt.Errorf("%q: expected a list of URLs, found %s in it", mirrorsKey, shortened(e.Pack()))
		}
	}
	return list, nil
}

// find gives the place of a mirror in the list, -1 when it is not there.
func (d *daemonJSON) find(mirror string) int {
	if d.list == nil {
		return -1
	}
	return slices.IndexFunc(d.list.Elements, func(e hujson.ArrayElement) bool {
		text, ok := e.Value.(hujson.Literal)
		return ok && strings.TrimRight(text.String(), "/") == mirror
	})
}

// addMember appends a member, laid out as those before it.
func (d *daemonJSON) addMember(name string, value hujson.ValueTrimmed) {
	m := hujson.ObjectMember{
		Name:  hujson.Value{Value: hujson.String(name)},
		Value: hujson.Value{BeforeExtra: hujson.Extra(" "), Value: value},
	}
	before, end := d.object.Members, string(d.object.AfterExtra)
	switch n := len(before); {
	case n > 1:
		m.Name.BeforeExtra = before[n-1].Name.BeforeExtra
	case n == 1 && bytes.ContainsRune(before[0].Name.BeforeExtra, '\n'):
		m.Name.BeforeExtra = before[0].Name.BeforeExtra
	case n == 1:
		m.Name.BeforeExtra = hujson.Extra(" ")
	case strings.Contains(end, "\n"):
		m.Name.BeforeExtra = hujson.Extra(end[:strings.Index(end, "\n")+1] + "  ")
	}
	if len(before) > 0 {
		m.Value.BeforeExtra = before[len(before)-1].Value.BeforeExtra
	}
	d.object.Members = append(slices.Clone(before), m)
}

func (d *daemonJSON) removeMember(name string) {
	d.object.Members = slices.DeleteFunc(d.object.Members, func(m hujson.ObjectMember) bool {
		text, _ := m.Name.Value.(hujson.Literal)
		return text.String() == name
	})
}

func (d *daemonJSON) pack() []byte {
	return append(bytes.Clone(d.mark), d.value.Pack()...)
}

func quoted(s string) string {
	text, _ := json.Marshal(s) // a string never fails
	return string(text)
}

func shortened(text []byte) string {
	text = bytes.TrimSpace(masked(text))
	if len(text) > 40 {
		return string(text[:40]) + "…"
	}
	return string(text)
}
