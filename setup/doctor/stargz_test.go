package doctor

import (
	"net"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/image2ipfs/image2ipfs/setup"
)

// States of stargz-snapshotter up to the first that needs a containerd.
func TestStargzStates(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("stargz-snapshotter runs on Linux")
	}
	socket := filepath.Join(t.TempDir(), "s.sock")
	o := Options{Server: "http://127.0.0.1:5000", Containerd: []string{filepath.Join(t.TempDir(), "none.sock")}, root: t.TempDir()}
	found := setup.Stargz{Kind: "containerd", Socket: socket, Wanted: true}
	if _, next, err := o.stargz(t.Context(), found); err == nil || next[:len("sudo systemctl start stargz-snapshotter")] != "sudo systemctl start stargz-snapshotter" {
		t.Errorf("nobody listens: %q (%v)", next, err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, next, err := o.stargz(t.Context(), found)
	says(t, Check{Detail: err.Error(), Next: next}, "", "do not lead to http://127.0.0.1:5000", "setup stargz --yes")
	var checks []Check
	Engines(t.Context(), Options{Engines: []string{"stargz"}, root: t.TempDir()}, nil, func(c Check) { checks = append(checks, c) })
	if len(checks) != 1 || checks[0].Status != Absent || checks[0].Next == "" {
		t.Errorf("not there, and asked for: %+v", checks)
	}
}
