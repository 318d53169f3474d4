// With which flags and variables an engine's daemon runs, by /proc, and is started: by
// its systemd unit (unit.go) or by OpenRC.

package setup

import (
	"bytes"
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
	argv        []string
	environment map[string]string
	where       string    // the process, or the file and line that starts it
	started     time.Time // zero for one that is only to be started
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
		found = running("/proc", program, "", o.user())
	}
	for _, unit := range units {
		d, err := o.unit(unit+".service", program)
		if err != nil {
			return nil, err
		}
		if d == nil {
			d, err = o.openRC(unit, program)
		}
		if err != nil {
			return nil, err
		}
		if d != nil {
			found = append(found, *d)
		}
	}
	return found, nil
}

// openRC reads what OpenRC starts: command_args of a script in /etc/init.d, with what
// /etc/conf.d says (openrc-run(8)); nil where systemd has the unit, or there is no such
// script.
func (o Options) openRC(name, program string) (*daemon, error) {
	script := "/etc/init.d/" + name
	text, err := o.read(script)
	if err != nil || text == nil {
		return nil, err
	}
	if units, err := o.unitFiles(name + ".service"); err != nil || len(units) > 0 {
		return nil, err
	}
	environment := map[string]string{}
	for _, file := range []string{"/etc/conf.d/" + name, "/etc/rancher/" + name + "/" + name + ".env"} {
		maps.Copy(environment, o.environmentFile(file))
	}
	for name, value := range assignments(text) {
		environment[name] = os.Expand(value, func(name string) string { return environment[name] })
	}
	if _, set := environment["command_args"]; !set {
		return nil, nil
	}
	return &daemon{argv: append([]string{program}, words(environment["command_args"])...), environment: environment, where: script}, nil
}

// variableOf is a variable that a daemon has, and where that is told; empty when none does.
func variableOf(daemons []daemon, name string) (value, where string) {
	for _, d := range daemons {
		if value := d.environment[name]; value != "" {
			return value, d.where
		}
	}
	return "", ""
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

// running finds daemons of this machine and a user by /proc, that somebody runs for
// itself (see [ownerOf]) or nobody; those in containers, which have process numbers of
// their own, are not of this machine.
func running(proc, program, owner string, user int) (found []daemon) {
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
		argv := titled(strings.Split(strings.TrimRight(string(text), "\x00"), "\x00"), program)
		if err != nil || filepath.Base(argv[0]) != program || ownerOf(argv) != owner {
			continue
		}
		info, err := os.Stat(dir)
		if err != nil {
			continue
		}
		if there, err := os.Readlink(filepath.Join(dir, "ns/pid")); err == nil && there != here || userOf(info) != user {
			continue
		}
		found = append(found, daemon{argv: argv, environment: environmentOf(dir), where: program + ", process " + e.Name(), started: startOf(proc, e.Name())})
	}
	return found
}

// titled takes a title apart that a program has given itself in place of its command
// line, as K3s does: "/usr/local/bin/k3s server".
func titled(argv []string, program string) []string {
	if fields := strings.Fields(argv[0]); len(argv) == 1 && len(fields) > 1 && filepath.Base(fields[0]) == program {
		return fields
	}
	return argv
}

// environmentOf are the variables with which a process was started; none where they
// may not be read.
func environmentOf(dir string) map[string]string {
	text, _ := os.ReadFile(filepath.Join(dir, "environ")) // of another user: not told
	found := map[string]string{}
	for one := range strings.SplitSeq(string(text), "\x00") {
		if name, value, ok := strings.Cut(one, "="); ok {
			found[name] = value
		}
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
