package setup

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gofrs/flock"
)

// stopped does the first n steps of a plan, as one that is killed does; done tells that
// there were no more.
func (m machine) stopped(o Options, n int) (done bool) {
	m.Helper()
	p := m.plan(o)
	release, err := p.claim(m.Context())
	if err != nil {
		m.Fatal(err)
	}
	defer release() // as the kernel does
	steps, err := p.steps()
	if err != nil {
		m.Fatal(err)
	}
	for _, s := range steps[:min(n, len(steps))] {
		if err := s.commit(); err != nil {
			m.Fatal(err)
		}
	}
	return n >= len(steps)
}

// TestKilled: without it a setup that is killed between a file and its record is never
// undone. Wherever it is killed: what is run after it, and undone, leaves what there was.
func TestKilled(t *testing.T) {
	for _, engine := range []string{"docker", "containerd", "podman", "nerdctl"} {
		for name, files := range map[string]map[string]string{"nothing there": {}, "files there": existing[engine]} {
			for _, killed := range []string{"setup", "another server", "another server, undone at once", "undo"} {
				if engine != "docker" && (len(files) == 0 || strings.HasPrefix(killed, "another")) {
					continue // whose files speak for themselves
				}
				t.Run(engine+" "+name+" "+killed, func(t *testing.T) {
					for n, done := 0, false; !done; n++ {
						m := newMachine(t, files)
						again := Options{Engine: engine}
						switch killed {
						case "setup":
							done = m.stopped(again, n)
							m.run(again)
						case "undo":
							m.run(again)
							again.Undo = true
							done = m.stopped(again, n)
						default:
							m.run(again)
							again.Server = "http://other.example:5000"
							done = m.stopped(again, n)
							if killed == "another server" {
								m.run(again)
							}
						}
						again.Undo = true
						m.run(again)
						maps.DeleteFunc(m.leftBackups(), func(path, text string) bool {
							return files[path] == text && os.Remove(m.path(path+backupSuffix)) == nil
						})
						m.expect(files)
					}
				})
			}
		}
	}
}

// leftBackups are the contents of backups by the names of their files.
func (m machine) leftBackups() map[string]string {
	m.Helper()
	left := map[string]string{}
	for name, text := range m.files() {
		if of, ok := strings.CutSuffix(name, backupSuffix); ok {
			left[of] = text
		}
	}
	return left
}

// TestAtOnce: without it one of two setups at the same time writes over what the other has
// written, and temporary files of killed ones stay for ever.
func TestAtOnce(t *testing.T) {
	m := newMachine(t, map[string]string{"etc/docker/daemon.json": "{}", "etc/docker/.image2ipfs-123": "{", "etc/docker/.image2ipfs-mine": "{"})
	before := m.files()
	lock := flock.New(m.path("etc/docker"), flock.SetFlag(os.O_RDONLY))
	if err := lock.Lock(); err != nil {
		t.Skipf("no locks of directories here: %v", err)
	}
	p := m.plan(Options{Engine: "docker"})
	late := errors.New("too late")
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error)
	go func() { ended <- p.Write(ctx) }()
	cancel(late)
	if err := <-ended; !errors.Is(err, late) {
		t.Errorf("%v, want the end of the context", err)
	}
	m.expect(before)
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	m.run(Options{Engine: "docker"})
	names, err := filepath.Glob(m.path("etc/docker/.image2ipfs-*"))
	if err != nil || !slices.Equal(names, []string{m.path("etc/docker/.image2ipfs-mine")}) {
		t.Errorf("left is %q (%v)", names, err)
	}
}

// TestNotGivenBack: without it the only copy of a file goes when neither the new content nor
// the old one can be written.
func TestNotGivenBack(t *testing.T) {
	m := newMachine(t, map[string]string{"etc/docker/daemon.json": "{\"debug\": true}"})
	p := m.plan(Options{Engine: "docker"})
	p.check = func(context.Context) error { // which makes that the file cannot be written
		path := m.path("etc/docker/daemon.json")
		return errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "x"), 0o755), errors.New("no"))
	}
	err := p.Write(t.Context())
	if err == nil || !strings.Contains(err.Error(), "what it was is in "+p.Changes[0].Backup) {
		t.Errorf("got %v", err)
	}
	if text := m.files()["etc/docker/daemon.json"+backupSuffix]; text != "{\"debug\": true}" {
		t.Errorf("the backup is %q", text)
	}
}

// TestBackupStays: without it the setup after one that was cut off keeps an empty file in
// place of what there was.
func TestBackupStays(t *testing.T) {
	const path = "etc/docker/daemon.json"
	files := map[string]string{path: "", path + backupSuffix: "{\"debug\": true}"}
	m := newMachine(t, files)
	if _, err := New(Options{Engine: "docker", Root: m.root}); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "daemon.json is empty, as a write leaves it") {
		t.Errorf("an empty file: %v", err)
	}
	files[path] = "{\"debug\": false}"
	m.write(path, files[path])
	p := m.run(Options{Engine: "docker"})
	if got := m.files(); got[path+backupSuffix] != files[path+backupSuffix] || got[path+backupSuffix+".2"] != files[path] || !strings.HasSuffix(p.Changes[0].Backup, ".2") {
		t.Errorf("the files are %q", got)
	}
	m.run(Options{Engine: "docker", Undo: true})
	m.expect(files)
}
