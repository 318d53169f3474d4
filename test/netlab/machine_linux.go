package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine has an address of its own and nothing of the host's network.
type Machine struct {
	*namespace
	IP string
}

// Machine adds a machine to the network.
func (l *Lab) Machine(ctx context.Context) (*Machine, error) {
	n, err := newNamespace()
	if err != nil {
		return nil, err
	}
	number := len(l.machines) + 1
	m := &Machine{n, fmt.Sprintf("10.77.%d.%d", number/250, number%250+1)}
	l.machines = append(l.machines, m)
	port := "port" + strconv.Itoa(number)
	for _, step := range []struct {
		in   *namespace
		argv []string
	}{
		{l.hub, []string{"ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", n.pid()}},
		{l.hub, []string{"ip", "link", "set", port, "master", bridge, "up"}},
		{n, []string{"ip", "link", "set", "lo", "up"}},
		{n, []string{"ip", "address", "add", m.IP + "/16", "dev", "eth0"}},
		{n, []string{"ip", "link", "set", "eth0", "up"}},
		{n, []string{"ip", "route", "add", "224.0.0.0/4", "dev", "eth0"}}, // for mDNS
	} {
		if err := step.in.run(ctx, step.argv...); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Command is a program on the machine. The kernel kills it when this program
// has ended.
func (m *Machine) Command(ctx context.Context, argv ...string) *exec.Cmd {
	return m.command(ctx, argv...)
}

// Prefix are the words before a command that run it on the machine.
func (m *Machine) Prefix() []string { return m.prefix() }

// Limit lets the machine send at most so many megabits a second; 0 ends that.
func (m *Machine) Limit(ctx context.Context, megabits int) error {
	if megabits == 0 {
		return m.run(ctx, "tc", "qdisc", "del", "dev", "eth0", "root")
	}
	return m.run(ctx, "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf",
		"rate", fmt.Sprintf("%dmbit", megabits), "burst", "128kb", "latency", "100ms")
}

// Sent is how many bytes have left the machine, with the headers of all layers.
func (m *Machine) Sent() (int64, error) {
	data, err := os.ReadFile("/proc/" + m.pid() + "/net/dev")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(strings.Replace(line, ":", " ", 1)); len(f) > 9 && f[0] == "eth0" {
			return strconv.ParseInt(f[9], 10, 64)
		}
	}
	return 0, errors.New("/proc/net/dev does not tell of eth0")
}

// DialContext connects to host:port as seen from the machine; host is an IP address.
func (m *Machine) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer home.Close()
	away, err := os.Open(m.path())
	if err != nil {
		return nil, err
	}
	defer away.Close()
	runtime.LockOSThread() // a thread is in the namespace, and makes the socket there
	if err := unix.Setns(int(away.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("entering the namespace of %s: %w", m.IP, err)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return nil, errors.Join(fmt.Errorf("leaving the namespace of %s: %w", m.IP, back), err) // the thread stays locked and ends
	}
	runtime.UnlockOSThread()
	return conn, err
}

// Client is an HTTP client on the machine; it keeps no connections.
func (m *Machine) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: m.DialContext, DisableKeepAlives: true}}
}
