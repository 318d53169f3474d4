package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// sockets are those that systemd opened for this process (systemd.socket(5)), by
// the names that FileDescriptorName= gives them: "images", "push" and "metrics".
type sockets map[string][]net.Listener

// openSockets takes over the sockets, of which there are none where systemd has
// opened none. A socket without a name of these is for images, if there is only one.
func openSockets() (sockets, error) {
	given, err := activation.ListenersWithNames()
	if err != nil {
		return nil, fmt.Errorf("sockets from systemd: %w", err)
	}
	s := sockets{}
	for name, listeners := range given {
		if !slices.Contains([]string{"push", "metrics"}, name) {
			name = "images"
		}
		s[name] = append(s[name], listeners...)
	}
	for name, listeners := range s {
		if len(listeners) > 1 {
			return nil, errors.Join(usageError{fmt.Errorf("systemd gives %d sockets for %s, expected one: give them FileDescriptorName=images, push or metrics", len(listeners), name)}, s.close())
		}
	}
	return s, nil
}

// listen takes the socket of this name, or listens on an address.
func (s sockets) listen(ctx context.Context, name, addr, flag string) (net.Listener, error) {
	if given := s[name]; len(given) > 0 {
		delete(s, name)
		return given[0], nil
	}
	return listen(ctx, addr, flag)
}

// close closes what nobody listens on.
func (s sockets) close() (err error) {
	for _, listeners := range s {
		for _, l := range listeners {
			err = errors.Join(err, l.Close())
		}
	}
	return err
}

// tellSystemd says that the server answers, and when it stops (sd_notify(3)), if
// systemd wants to know. told waits until it was told, which a server without
// connections would not live to see.
func tellSystemd(ctx context.Context, log *slog.Logger) (told func()) {
	tell(log, daemon.SdNotifyReady)
	done := make(chan struct{})
	forget := context.AfterFunc(ctx, func() {
		defer close(done)
		tell(log, daemon.SdNotifyStopping)
	})
	return func() {
		if !forget() {
			<-done
		}
	}
}

// tell tells systemd a state.
func tell(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd is not told", "state", state, "error", err)
	}
}
