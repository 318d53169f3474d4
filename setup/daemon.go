// With which flags an engine's daemon runs, and with which it is started: by
// /proc, by its systemd unit with drop-ins (systemd.unit(5)), or by the file that
// other init systems take its flags from.

package setup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// daemon is a command line of an engine's daemon.
type daemon struct {
	argv    []string
	where   string    // the process, or the file and line that starts it
	started time.Time // zero for one that is only to be started
}

// flag gives the values of a flag, in the order of the command line.
func (d daemon) flag(names ...string) (values []string) {
	for i := 1; i < len(d.argv); i++ {
		name, value, whole := strings.Cut(d.argv[i], "=")
		switch {
		case !slices.Contains(names, name):
		case whole:
			values = append(values, value)
		case i+1 < len(d.argv):
			values = append(values, d.argv[i+1])
			i++
		}
	}
	return values
}

// daemons gives the running daemons of a program, then what starts one. Units
// are named without their ending.
func (o Options) daemons(program string, units ...string) (found []daemon, err error) {
	if o.Root == "" {
		found = running(o.proc(), program, "", o.Rootless)
	}
	for _, unit := range units {
		d, err := o.unit(unit+".service", program)
		if err != nil {
			return nil, err
		}
		if d != nil {
			found = append(found, *d)
		}
	}
	return found, nil
}

// configFlag is the file that a daemon's command line names, as the engine sees
// it; empty when none does.
func configFlag(daemons []daemon, names ...string) string {
	for _, d := range daemons {
		if v := d.flag(names...); len(v) > 0 && filepath.IsAbs(v[len(v)-1]) {
			return v[len(v)-1]
		}
	}
	return ""
}

func (o Options) proc() string {
	if o.procDir != "" {
		return o.procDir
	}
	return "/proc"
}

// running finds daemons of this machine and user by /proc, that somebody runs for
// itself (see [ownerOf]) or nobody; those in containers, which have process numbers of
// their own, are not of this machine.
func running(proc, program, owner string, rootless bool) (found []daemon) {
	entries, err := os.ReadDir(proc)
	if err != nil || runtime.GOOS != "linux" {
		return nil
	}
	here, _ := os.Readlink(filepath.Join(proc, "self/ns/pid"))
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		dir := filepath.Join(proc, e.Name())
		text, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		argv := strings.Split(strings.TrimRight(string(text), "\x00"), "\x00")
		if err != nil || filepath.Base(argv[0]) != program || ownerOf(argv) != owner {
			continue
		}
		info, err := os.Stat(dir)
		if err != nil {
			continue
		}
		if there, err := os.Readlink(filepath.Join(dir, "ns/pid")); err == nil && there != here || rootless != !ownedByRoot(info) {
			continue
		}
		found = append(found, daemon{argv: argv, where: program + ", process " + e.Name(), started: startOf(proc, e.Name())})
	}
	return found
}

// startOf is when a process was started (proc(5)); zero when that is not told.
func startOf(proc, pid string) time.Time {
	const tick = time.Second / 100 // USER_HZ, the same on all of Linux that Go runs on
	stat, err := os.ReadFile(filepath.Join(proc, pid, "stat"))
	if err != nil {
		return time.Time{}
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	boot := bootTime(proc)
	if boot.IsZero() || len(fields) < 20 {
		return time.Time{}
	}
	since, err := strconv.ParseInt(fields[19], 10, 64)
	if err != nil {
		return time.Time{}
	}
	return boot.Add(time.Duration(since) * tick)
}

// bootTime is when the machine was started, by its uptime, which is exact to a
// hundredth of a second, else by btime, which is to one.
func bootTime(proc string) time.Time {
	text, err := os.ReadFile(filepath.Join(proc, "uptime"))
	if seconds, _, ok := strings.Cut(string(text), " "); err == nil && ok {
		if up, err := time.ParseDuration(seconds + "s"); err == nil {
			return time.Now().Add(-up)
		}
	}
	system, err := os.ReadFile(filepath.Join(proc, "stat"))
	_, rest, found := strings.Cut(string(system), "btime ")
	line, _, _ := strings.Cut(rest, "\n")
	boot, errBoot := strconv.ParseInt(line, 10, 64)
	if err != nil || !found || errBoot != nil {
		return time.Time{}
	}
	return time.Unix(boot, 0)
}

// owners are parts of the flags of a containerd that somebody runs for itself. RKE2's
// has K3s's socket.
var owners = []struct{ name, part string }{
	{"docker", "/docker/containerd/"}, {"rke2", "/rke2/"}, {"k3s", "/k3s/"}, {"microk8s", "/microk8s/"}, {"k0s", "/k0s/"},
}

// ownerOf tells by its flags who runs a containerd for itself, docker or a Kubernetes
// distribution; empty for nobody, and for other programs.
func ownerOf(argv []string) string {
	if filepath.Base(argv[0]) != "containerd" {
		return ""
	}
	for _, o := range owners {
		if slices.ContainsFunc(argv[1:], func(arg string) bool { return strings.Contains(arg, o.part) }) {
			return o.name
		}
	}
	return ""
}

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
	for _, file := range files {
		text, err := o.read(file)
		if err != nil {
			return nil, err
		}
		for _, s := range unitSettings(text) {
			switch s.key {
			case "ExecStart":
				exec, where = s.value, fmt.Sprintf("%s, line %d", file, s.line)
			case "Environment":
				for _, word := range words(s.value) {
					key, value, _ := strings.Cut(word, "=")
					environment[key] = value
				}
			case "EnvironmentFile":
				maps.Copy(environment, o.environmentFile(s.value))
			}
		}
	}
	var argv []string
	for _, word := range words(strings.TrimLeft(exec, "@-:+!")) {
		argv = append(argv, expanded(word, environment)...)
	}
	if !slices.ContainsFunc(argv, func(w string) bool { return strings.HasPrefix(filepath.Base(w), program) }) {
		return nil, nil
	}
	return &daemon{argv: argv, where: where}, nil
}

// unitFiles are a unit's file and its drop-ins in the order in which they count;
// a drop-in hides those of the same name in later directories.
func (o Options) unitFiles(name string) (files []string, err error) {
	dropIns := map[string]string{}
	for _, dir := range o.unitDirs() {
		path := filepath.Join(dir, name)
		if len(files) == 0 && o.masked(path) {
			return nil, nil
		}
		if len(files) == 0 && o.exists(path) {
			files = append(files, path)
		}
		some, err := o.glob(filepath.Join(path+".d", "*.conf"))
		if errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, f := range some {
			if _, hidden := dropIns[filepath.Base(f)]; !hidden {
				dropIns[filepath.Base(f)] = f
			}
		}
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

// environmentFile reads KEY=value lines; a file that is not there says nothing.
func (o Options) environmentFile(path string) map[string]string {
	found := map[string]string{}
	text, err := o.read(strings.TrimPrefix(path, "-"))
	if err != nil {
		return found // systemd's to complain about; a flag in it cannot be seen
	}
	for line := range bytes.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(string(line)), "=")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		found[strings.TrimPrefix(key, "export ")] = strings.Trim(value, `"'`)
	}
	return found
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
