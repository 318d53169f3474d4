package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/image2ipfs/image2ipfs/server"
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

// addresses are those of the sockets, by name.
func (s sockets) addresses() map[string]net.Addr {
	all := map[string]net.Addr{}
	for name, listeners := range s {
		all[name] = listeners[0].Addr()
	}
	return all
}

// use takes sockets for the addresses that flags give: one for push or metrics is as good
// as its flag, so that nobody connects to what nobody answers.
func (o *serveOptions) use(sockets map[string]net.Addr) {
	o.sockets = sockets
	for name, text := range map[string]*string{"images": &o.addr, "push": &o.push.addr, "metrics": &o.access.metrics} {
		if at := sockets[name]; at != nil {
			*text = at.String()
		}
	}
}

// listen opens all listeners, or none.
func (o *serveOptions) listen(ctx context.Context, given sockets) (l server.Listeners, err error) {
	defer func() {
		if err != nil {
			closeAll(l)
		}
	}()
	if l.Images, err = given.listen(ctx, "images", o.addr, "--addr"); err != nil {
		return l, err
	}
	if o.push.addr != "" {
		if l.Push, err = given.listen(ctx, "push", o.push.addr, "--push"); err != nil {
			return l, err
		}
	}
	if o.access.metrics != "" {
		l.Metrics, err = given.listen(ctx, "metrics", o.access.metrics, "--metrics")
	}
	return l, err
}

// closeAll closes what a server that has ended, or none, has left open.
func closeAll(l server.Listeners) {
	for _, one := range []net.Listener{l.Images, l.Push, l.Metrics} {
		if one != nil {
			_ = one.Close() // twice does no harm
		}
	}
}

// listen takes the socket of this name, or listens on an address.
func (s sockets) listen(ctx context.Context, name, addr, flag string) (net.Listener, error) {
	if given := s[name]; len(given) > 0 {
		delete(s, name)
		return given[0], nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w: another server runs there; choose a port with %s", err, flag)
	}
	return l, err
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
