// dockerd: a registry mirror, which names without a host are tried on first.

package setup

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/internal/redact"
)

const (
	recordSuffix = ".image2ipfs.json"
	snapDocker   = "/var/snap/docker/current/config/daemon.json"
)

func (p *Plan) docker(o Options) error {
	daemons, err := o.dockerds()
	if err != nil {
		return err
	}
	path := o.daemonJSON(daemons)
	text, err := p.place.read(path)
	if err != nil {
		return err
	}
	record, recordText, err := p.readRecord(path)
	if err != nil {
		return err
	}
	where, err := mirrorFlag(daemons, p.Server)
	if err != nil && !o.Undo {
		return err
	}
	if where != "" {
		p.note("%s has --registry-mirror %s: nothing may be said of mirrors in %s", where, p.Server, path)
	}
	plain, after, afterRecord, err := editDaemonJSON(text, record, p.Server, o.Undo || where != "")
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrConfig, path, err)
	}
	if afterRecord != nil && afterRecord != record && text == nil {
		if afterRecord.NewDirs, err = p.place.missing(path); err != nil {
			return err
		}
	}
	if err := p.dockerChanges(path, text, plain, after, record, recordText, afterRecord); err != nil {
		return err
	}
	p.Next = dockerReload(o, path, hasMirrors(text) && !hasMirrors(after))
	if where != "" && !o.Undo {
		p.due = dockerFlags(o, daemons, p.Server)
		p.Next = p.due
	}
	if !o.Undo { // what was there before is given back whatever dockerd makes of it
		p.check = func(ctx context.Context) error { return o.validates(ctx, path, daemons) }
	}
	return nil
}

// dockerChanges plans both files; on undo the directories that setup made go.
func (p *Plan) dockerChanges(path string, text, plain, after []byte, record *mirrorRecord, recordText []byte, afterRecord *mirrorRecord) error {
	had := record != nil && string(plain) != string(text)
	var prune []string
	if after == nil && record != nil {
		var err error
		if prune, err = p.place.parents(path, min(record.NewDirs, 8)); err != nil {
			return err
		}
	}
	if afterRecord != nil && afterRecord != record && record != nil {
		afterRecord.Previous = record.Previous
		if in := record.in(text); in != afterRecord.Mirror {
			afterRecord.Previous = in
		}
	}
	if afterRecord != nil && record != nil && plain == nil {
		afterRecord.NewDirs = record.NewDirs
	}
	if err := p.change(path, text, after, had, prune...); err != nil {
		return err
	}
	changes := len(p.Changes)
	if err := p.change(path+recordSuffix, recordText, encodeRecord(afterRecord), true); err != nil {
		return err
	}
	if len(p.Changes) > changes { // whoever is killed in between finds in the record what is in the file
		p.Changes[changes].early = afterRecord != nil
	}
	return nil
}

// readRecord reads what an earlier setup wrote down; nil when there was none.
func (p *Plan) readRecord(path string) (record *mirrorRecord, text []byte, err error) {
	text, err = p.place.read(path + recordSuffix)
	if err != nil || text == nil {
		return nil, nil, err
	}
	if err := jsontext.Unmarshal(text, &record); err != nil || record == nil || record.Mirror == "" {
		return nil, nil, fmt.Errorf("%w: %s, where setup writes down what it did, is damaged (%v); take the mirror out of %s by hand and remove it", ErrConfig, path+recordSuffix, err, path)
	}
	return record, text, nil
}

// dockerds are the command lines by which dockerd runs and is started.
func (o Options) dockerds() ([]daemon, error) {
	found, err := o.daemons("dockerd", "docker", "snap.docker.dockerd")
	if o.Config != "" { // those that read that file
		return slices.DeleteFunc(found, func(d daemon) bool {
			file := configFlag([]daemon{d}, "--config-file")
			return file != o.within(o.Config) && (file != "" || o.within(o.Config) != "/etc/docker/daemon.json")
		}), err
	}
	if err != nil || o.Rootless {
		return found, err
	}
	units, err := o.unitFiles("docker.service")
	if err != nil || len(units) > 0 {
		return found, err
	}
	for _, file := range []string{"/etc/default/docker", "/etc/conf.d/docker"} { // sysvinit, OpenRC
		if options := o.environmentFile(file)["DOCKER_OPTS"]; options != "" {
			found = append(found, daemon{argv: append([]string{"dockerd"}, words(options)...), where: file})
		}
	}
	return found, nil
}

// daemonJSON is dockerd's configuration file.
func (o Options) daemonJSON(daemons []daemon) string {
	if runtime.GOOS != "linux" && o.Root == "" { // Docker Desktop
		return o.file(filepath.Join(o.Home, ".docker", "daemon.json"), filepath.Join("..", ".docker", "daemon.json"))
	}
	named := configFlag(daemons, "--config-file")
	if named == "" && !o.Rootless && o.exists(filepath.Dir(snapDocker)) && !o.exists("/etc/docker") {
		named = snapDocker
	}
	return o.file("/etc/docker/daemon.json", "docker/daemon.json", named)
}

const mirrorOption = "--registry-mirror"

// hasMirror tells whether a dockerd's flags name a server as a mirror.
func (d daemon) hasMirror(server string) bool {
	return slices.ContainsFunc(d.flag(mirrorOption), func(m string) bool { return strings.TrimRight(m, "/") == server })
}

// mirrorFlag refuses a daemon.json with mirrors for a dockerd that has mirrors on
// its command line: with both it does not start. Where is what has the server's.
func mirrorFlag(daemons []daemon, server string) (where string, err error) {
	for _, d := range daemons {
		if mirrors := d.flag(mirrorOption); d.hasMirror(server) {
			where = d.where
		} else if len(mirrors) > 0 {
			err = fmt.Errorf("%w: %s has --registry-mirror %s, and dockerd does not start with mirrors there and in daemon.json: write --registry-mirror %s in front of it there by hand, or move it into daemon.json; then restart dockerd, which reads its flags only then (%s), and run setup again",
				ErrConfig, d.where, redact.Text(strings.Join(mirrors, " --registry-mirror ")), server, dockerRestart)
		}
	}
	return where, err
}

const dockerRestart = "sudo systemctl daemon-reload && sudo systemctl restart docker"

// dockerFlags says what is left to do where a flag names the server: a restart, unless
// what runs was started with it.
func dockerFlags(o Options, daemons []daemon, server string) []string {
	runs := slices.ContainsFunc(daemons, func(d daemon) bool { return !d.started.IsZero() && d.hasMirror(server) })
	switch {
	case runs:
		return nil
	case o.Rootless:
		return []string{strings.ReplaceAll(dockerRestart, "sudo systemctl", "systemctl --user") + "   # a reload does not read flags"}
	}
	return []string{dockerRestart + "   # a reload does not read flags; containers end unless live-restore is on"}
}

// validates has dockerd read the files that were written, with the flags by which
// it is started. Versions before 23 cannot do that.
func (o Options) validates(ctx context.Context, path string, daemons []daemon) error {
	program := o.program("dockerd")
	if program == nil {
		return nil
	}
	help, err := ask(ctx, program, "--help")
	if err != nil || !strings.Contains(help, "--validate") {
		return nil
	}
	args := []string{"--validate", "--config-file", o.within(path)}
	for _, d := range daemons {
		for _, m := range d.flag(mirrorOption) {
			args = append(args, mirrorOption, m)
		}
	}
	if _, err := ask(ctx, program, args...); err != nil {
		return fmt.Errorf("dockerd does not take the new %s: %w", path, err)
	}
	return nil
}

// editDaemonJSON takes out what the record says and puts the mirror in unless
// that is to be undone. Plain is the text between the two.
func editDaemonJSON(text []byte, record *mirrorRecord, mirror string, undo bool) (plain, after []byte, _ *mirrorRecord, err error) {
	plain = text
	if record != nil {
		if plain, err = removeMirror(text, record); err != nil {
			return nil, nil, nil, err
		}
	}
	if undo {
		return plain, plain, nil, nil
	}
	after, added, err := addMirror(plain, mirror)
	if err == nil && record != nil && record.Mirror == mirror && added != nil && plain != nil && string(plain) != string(text) {
		// It was there, perhaps moved by the user: it stays where it is.
		return plain, text, record, nil
	}
	return plain, after, added, err
}

func encodeRecord(r *mirrorRecord) []byte {
	if r == nil {
		return nil
	}
	r.What = "what image2ipfs setup docker put into daemon.json, so that setup docker --undo takes out that and nothing else"
	text, _ := json.MarshalIndent(r, "", "  ") // strings and booleans never fail
	return append(text, '\n')
}

// hasMirrors tells whether a daemon.json says anything of mirrors.
func hasMirrors(text []byte) bool { return strings.Contains(string(text), `"`+mirrorsKey+`"`) }

// dockerReload says how dockerd takes the change over; containers go on running. A
// dockerd that is reloaded keeps the mirrors that it has while daemon.json says nothing
// of mirrors: then only a restart takes the last one from it.
func dockerReload(o Options, path string, restart bool) []string {
	switch {
	case runtime.GOOS != "linux":
		return []string{"restart Docker Desktop, which runs dockerd in a virtual machine: --server has to be an address that it reaches, such as http://host.docker.internal:5000"}
	case o.Rootless && restart:
		return []string{"systemctl --user restart docker   # a reload does not take the last mirror from dockerd"}
	case o.Rootless:
		return []string{"systemctl --user reload docker"}
	case o.within(path) == snapDocker:
		return []string{"sudo snap restart docker"}
	case restart:
		return []string{"sudo systemctl restart docker   # a reload does not take the last mirror from dockerd; containers end unless live-restore is on"}
	}
	return []string{"sudo systemctl reload docker   # without systemd: sudo kill -HUP $(pidof dockerd)"}
}
