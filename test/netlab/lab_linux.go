package netlab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// Lab is a network of machines. It is not safe for concurrent use.
type Lab struct {
	hub      *namespace
	machines []*Machine
}

// New makes a network without machines. The error tells what is missing: root's
// rights, or the programs ip, tc and nsenter (Debian: iproute2, util-linux).
func New(ctx context.Context) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("only root can make network namespaces")
	}
	for _, program := range []string{"ip", "tc", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("making network namespaces: %w", err)
		}
	}
	hub, err := newNamespace()
	if err != nil {
		return nil, err
	}
	l := &Lab{hub: hub}
	err = hub.run(ctx, "ip", "link", "add", bridge, "type", "bridge")
	if err == nil {
		err = hub.run(ctx, "ip", "link", "set", bridge, "up")
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

const bridge = "lab0"

// Close ends the machines and everything that runs on them.
func (l *Lab) Close() error {
	var errs []error
	for _, m := range l.machines {
		errs = append(errs, m.end())
	}
	return errors.Join(append(errs, l.hub.end())...)
}

// namespace is a network namespace, held by a process.
type namespace struct {
	holder *exec.Cmd
}

func newNamespace() (*namespace, error) {
	holder := exec.CommandContext(context.Background(), "sleep", "infinity") // until end
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := holder.Start(); err != nil {
		return nil, fmt.Errorf("making a network namespace: %w", err)
	}
	return &namespace{holder}, nil
}

func (n *namespace) pid() string { return strconv.Itoa(n.holder.Process.Pid) }

// path is the namespace for setns(2).
func (n *namespace) path() string { return "/proc/" + n.pid() + "/ns/net" }

func (n *namespace) end() error {
	err := n.holder.Process.Kill()
	_ = n.holder.Wait() // tells that it was killed
	return err
}

// command is a program in the namespace; the kernel kills it when this program
// has ended.
func (n *namespace) command(ctx context.Context, argv ...string) *exec.Cmd {
	argv = append(n.prefix(), argv...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (n *namespace) prefix() []string { return []string{"nsenter", "--net=" + n.path(), "--"} }

func (n *namespace) run(ctx context.Context, argv ...string) error {
	out, err := n.command(ctx, argv...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
