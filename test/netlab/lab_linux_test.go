package netlab_test

import (
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/image2ipfs/image2ipfs/test/netlab"
)

// Two machines must reach each other and nobody else, tell what they sent, and
// leave nothing behind.
func TestLab(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make network namespaces")
	}
	if _, err := exec.LookPath("busybox"); err != nil {
		t.Skip("busybox, which serves a file here, is not installed")
	}
	ctx := t.Context()
	before := interfaces(t)
	lab, err := netlab.New(ctx)
	if err != nil {
		t.Skipf("namespaces cannot be made here: %v", err)
	}
	closed := false
	defer func() {
		if !closed {
			_ = lab.Close() // after another failure
		}
	}()
	var machines []*netlab.Machine
	for range 2 {
		m, err := lab.Machine(ctx)
		if err != nil {
			t.Fatal(err)
		}
		machines = append(machines, m)
	}
	from, to := machines[0], machines[1]
	dir := t.TempDir()
	content := strings.Repeat("0123456789", 100_000)
	if err := os.WriteFile(dir+"/file", []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := from.Limit(ctx, 200); err != nil {
		t.Fatal(err)
	}
	server := from.Command(ctx, "busybox", "httpd", "-f", "-p", from.IP+":8000", "-h", dir)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	if got := download(t, to, "http://"+from.IP+":8000/file"); got != content {
		t.Errorf("got %d bytes, want %d", len(got), len(content))
	}
	if n, err := from.Sent(); err != nil || n < int64(len(content)) || n > int64(len(content))*3/2 {
		t.Errorf("%d bytes have left the machine, want about %d (%v)", n, len(content), err)
	}
	for name := range interfaces(t) { // as the lab names its own: others come and go
		if !before[name] && (name == "eth0" || strings.HasPrefix(name, "lab") || strings.HasPrefix(name, "port")) {
			t.Errorf("the host has the interface %s, and had not before", name)
		}
	}
	closed = true
	if err := lab.Close(); err != nil {
		t.Error(err)
	}
	if err := server.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = server.Wait() // killed
}

// download gets what is at url, as soon as something answers there.
func download(t *testing.T, m *netlab.Machine, url string) string {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < time.Minute; {
		if resp, err := m.Client().Get(url); err == nil {
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Error(err)
			}
			return string(got)
		}
		if err := m.Command(t.Context(), "sleep", "0.02").Run(); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("nothing answers at %s", url)
	return ""
}

func interfaces(t *testing.T) map[string]bool {
	t.Helper()
	list, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, i := range list {
		names[i.Name] = true
	}
	return names
}
