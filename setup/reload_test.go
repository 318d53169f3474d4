package setup

import (
	"runtime"
	"strings"
	"testing"
)

// A dockerd that is reloaded keeps its mirrors when daemon.json no longer says anything
// of them: who was told to reload it after the undo would still have the mirror.
func TestUndoOfTheLastMirrorWantsARestart(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Docker Desktop is restarted in any case")
	}
	for before, undone := range map[string]string{
		"": "restart", "{}": "restart", `{"debug": false}`: "restart",
		`{"registry-mirrors": []}`: "reload", `{"registry-mirrors": ["https://m.example"]}`: "reload",
	} {
		files := map[string]string{}
		if before != "" {
			files["etc/docker/daemon.json"] = before
		}
		m := newMachine(t, files)
		if next := strings.Join(m.run(Options{Engine: "docker"}).Next, "; "); !strings.Contains(next, "systemctl reload docker") {
			t.Errorf("%q, after setup: %q", before, next)
		}
		if next := strings.Join(m.run(Options{Engine: "docker", Undo: true}).Next, "; "); !strings.Contains(next, "systemctl "+undone+" docker") {
			t.Errorf("%q, after the undo: %q, want %s", before, next, undone)
		}
		m.expect(files)
	}
}
