// With which flags systemd starts a daemon: its unit with drop-ins (systemd.unit(5)) and
// the files that these name (systemd.exec(5)).

package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// unitDirs are where systemd looks for units, those that count most first.
func (o Options) unitDirs() []string {
	if o.Rootless {
		return []string{filepath.Join(o.configHome(), "systemd/user"), "/etc/systemd/user", filepath.Join(o.Home, ".local/share/systemd/user"), "/usr/lib/systemd/user"}
	}
	return []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}
}

// unit reads a unit with its drop-ins and gives its command line; nil when there
// is no such unit or it starts another program.
func (o Options) unit(name, program string) (*daemon, error) {
	files, err := o.unitFiles(name)
	if err != nil || len(files) == 0 {
		return nil, err
	}
	environment := map[string]string{}
	var exec, where string
	var later []string // files count more than settings, wherever they are named
	for _, file := range files {
		text, err := o.read(file)
		if err != nil {
			return nil, err
		}
		for _, s := range unitSettings(text) {
			value := specifiers(s.value, name)
			switch s.key {
			case "ExecStart":
				exec, where = value, fmt.Sprintf("%s, line %d", file, s.line)
			case "Environment":
				if value == "" {
					clear(environment)
				}
				for _, word := range words(value) {
					key, value, _ := strings.Cut(word, "=")
					environment[key] = value
				}
			case "EnvironmentFile":
				if later = append(later, strings.TrimPrefix(value, "-")); value == "" {
					later = nil
				}
			}
		}
	}
	for _, pattern := range later {
		maps.Copy(environment, o.environmentFiles(pattern))
	}
	var argv []string
	for _, word := range words(strings.TrimLeft(exec, "@-:+!|")) {
		argv = append(argv, expanded(word, environment)...)
	}
	if argv = commandOf(argv, program, environment); argv == nil {
		return nil, nil
	}
	return &daemon{argv: argv, environment: environment, where: where}, nil
}

// specifiers replaces those of systemd.unit(5) that a unit's name is in.
func specifiers(text, unit string) string {
	base := strings.TrimSuffix(unit, ".service")
	prefix, instance, _ := strings.Cut(base, "@")
	return strings.NewReplacer("%%", "%", "%n", unit, "%N", base, "%p", prefix, "%i", instance, "%I", instance, "%E", "/etc", "%t", "/run", "%S", "/var/lib").Replace(text)
}

// commandOf is the part of a command line that begins with a program, or with a script
// that is named after it; of a shell's, in what it is given by -c. Nil when that starts
// another one.
func commandOf(argv []string, program string, environment map[string]string) []string {
	own := func(word string) bool { return strings.HasPrefix(filepath.Base(word), program) }
	if i := slices.IndexFunc(argv, func(w string) bool { return own(w) && !strings.ContainsAny(w, " \t") }); i >= 0 {
		return argv[i:]
	}
	for i, script := range argv {
		if i == 0 || !strings.HasPrefix(argv[i-1], "-") || !strings.HasSuffix(argv[i-1], "c") {
			continue
		}
		var inner []string
		for _, word := range words(script) {
			inner = append(inner, expanded(word, environment)...)
		}
		if at := slices.IndexFunc(inner, own); at >= 0 {
			return inner[at:]
		}
	}
	return nil
}

// unitFiles are a unit's file and its drop-ins in the order in which they count;
// a drop-in hides those of the same name in later directories.
func (o Options) unitFiles(name string) (files []string, err error) {
	for _, dir := range o.unitDirs() {
		path := filepath.Join(dir, name)
		if o.masked(path) {
			return nil, nil
		}
		if o.exists(path) {
			files = append(files, path)
			break
		}
	}
	dropIns, err := o.dropIns(name)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, nil
	}
	for _, base := range slices.Sorted(maps.Keys(dropIns)) {
		if !o.masked(dropIns[base]) {
			files = append(files, dropIns[base])
		}
	}
	return files, nil
}

// dropIns are a unit's drop-ins by their names: those for it alone count more than those
// for all whose names begin alike, and these more than those for every service.
func (o Options) dropIns(name string) (map[string]string, error) {
	found := map[string]string{}
	of := []string{name}
	for base := strings.TrimSuffix(name, ".service"); strings.Contains(strings.TrimRight(base, "-"), "-"); {
		base = strings.TrimRight(base, "-")
		base = base[:strings.LastIndexByte(base, '-')+1]
		of = append(of, base+".service")
	}
	for _, name := range append(of, "service") {
		for _, dir := range o.unitDirs() {
			some, err := o.glob(filepath.Join(dir, name+".d", "*.conf"))
			if errors.Is(err, fs.ErrPermission) {
				continue
			}
			if err != nil {
				return nil, err
			}
			for _, f := range some {
				if _, hidden := found[filepath.Base(f)]; !hidden && !o.place().isDir(o.at(f)) {
					found[filepath.Base(f)] = f
				}
			}
		}
	}
	return found, nil
}

// masked tells whether a unit or drop-in is a link to /dev/null, by which systemd is
// told to take it and what it hides for not there (systemd.unit(5)).
func (o Options) masked(path string) bool {
	target, err := os.Readlink(o.at(path))
	return err == nil && filepath.Clean(target) == os.DevNull
}

// setting is a line of a unit's [Service].
type setting struct {
	key, value string
	line       int
}

// unitSettings reads the settings of [Service]; a line that ends with a
// backslash goes on in the next.
func unitSettings(text []byte) (found []setting) {
	section, pending, begin := "", "", 0
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if pending == "" {
			begin = i + 1
		}
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		if rest, ok := strings.CutSuffix(line, "\\"); ok {
			pending += rest + " "
			continue
		}
		line, pending = pending+line, ""
		if strings.HasPrefix(line, "[") {
			section = line
		}
		if key, value, ok := strings.Cut(line, "="); ok && section == "[Service]" {
			found = append(found, setting{strings.TrimSpace(key), strings.TrimSpace(value), begin})
		}
	}
	return found
}

// environmentFiles reads the files that a pattern names, in their order.
func (o Options) environmentFiles(pattern string) map[string]string {
	paths := []string{pattern}
	if strings.ContainsAny(pattern, "*?[") {
		paths, _ = o.glob(pattern) // as for a file that is not there
	}
	found := map[string]string{}
	for _, path := range paths {
		maps.Copy(found, o.environmentFile(path))
	}
	return found
}

// environmentFile reads KEY=value lines; a file that is not there says nothing.
func (o Options) environmentFile(path string) map[string]string {
	text, err := o.read(path)
	if err != nil {
		return nil // systemd's to complain about; a flag in it cannot be seen
	}
	return maps.Collect(assignments(text))
}

// assignment begins a line that gives a variable a value, in systemd.exec(5) as in a
// shell.
var assignment = regexp.MustCompile(`(?m)^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)=`)

// assignments are the variables that a text gives values: to the end of the line, or of
// what is quoted there; a line that ends with a backslash goes on in the next.
func assignments(text []byte) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for rest := string(text); ; {
			at := assignment.FindStringSubmatchIndex(rest)
			if at == nil {
				return
			}
			name := rest[at[2]:at[3]]
			var value string
			if value, rest = assigned(rest[at[1]:]); !yield(name, value) {
				return
			}
		}
	}
}

// assigned reads a value and gives what stands behind it.
func assigned(text string) (value, rest string) {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quote != '\'' && i+1 < len(text):
			if i++; text[i] != '\n' {
				b.WriteByte(text[i])
			}
		case c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && c == '\n':
			return strings.TrimSpace(b.String()), text[i:]
		default:
			b.WriteByte(c)
		}
	}
	return strings.TrimSpace(b.String()), ""
}

// expanded gives what a word of ExecStart stands for: $X alone stands for words,
// ${X} within one for itself.
func expanded(word string, environment map[string]string) []string {
	if name, ok := strings.CutPrefix(word, "$"); ok && !strings.HasPrefix(name, "{") {
		return words(environment[name])
	}
	return []string{os.Expand(word, func(name string) string { return environment[name] })}
}

// words splits a command line at spaces that are not quoted.
func words(text string) (found []string) {
	var word strings.Builder
	quote, open := rune(0), false
	for _, r := range text {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, open = r, true
		case quote == 0 && (r == ' ' || r == '\t'):
			if open {
				found = append(found, word.String())
			}
			word.Reset()
			open = false
		default:
			word.WriteRune(r)
			open = true
		}
	}
	if open {
		found = append(found, word.String())
	}
	return found
}
