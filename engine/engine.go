// Package engine connects to the container engines of a machine: dockerd, podman
// by its service, and containerd. Where none answers the error says what to do.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"time"
)

// ErrNone is matched by errors about engines that do not answer.
var ErrNone = errors.New("no container engine answers")

const dialTimeout = 5 * time.Second

// advice is what to do about an engine that does not answer.
type advice struct {
	start   string // where it does not run
	permit  string // where this user may not use its socket
	another string // where it listens elsewhere
}

// reach tries the socket of an engine before its client does, whose error does not
// say why it failed. Addresses that are no path of a socket are left to the client.
// The error matches [ErrNone].
func reach(ctx context.Context, name, host string, a advice) error {
	path, isSocket := strings.CutPrefix(host, "unix://")
	if !isSocket {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		return c.Close()
	}
	return unreached(name, host, err, a)
}

// unreached is the error about an engine that does not answer, with what to do.
func unreached(name, host string, err error, a advice) error {
	hint := ""
	switch {
	case errors.Is(err, fs.ErrPermission):
		hint = "; you may not use its socket: " + a.permit
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		hint = "; is it running? " + a.start + ", or say where it is: " + a.another
	}
	return fmt.Errorf("%w: %s at %s: %w%s", ErrNone, name, host, err, hint)
}
