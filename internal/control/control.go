// Package control lets other processes ask a server that runs on a store, by a
// socket in the store's directory. Only the directory's owner may ask.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/internal/owned"
	"github.com/image2ipfs/image2ipfs/internal/silent"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// A server answers on the socket for as long as it holds the lock beside it.
const (
	socketName = "api.sock"
	lockName   = "api.lock"

	timeout       = 5 * time.Second
	maxSocketPath = 103 // bytes that a socket's path may have on all systems
)

// Control is the lock and the socket of a running server.
type Control struct {
	dir    string
	lock   *flock.Flock
	server *http.Server // nil before Serve
	done   chan error
}

// Lock takes the lock of the store in dir. It fails when another server has it.
// The Control must be closed.
func Lock(dir string) (*Control, error) {
	lock, err := owned.Lock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, err
	}
	c := &Control{dir: dir, lock: lock, done: make(chan error, 1)}
	ok, err := c.lock.TryLock()
	if err == nil && !ok {
		err = errors.New("another server with peers uses this store: end it, or give this one a store of its own (IMAGE2IPFS_PATH)")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", c.lock.Path(), err), c.lock.Close())
	}
	return c, nil
}

// Serve has h answer on the socket, until Close.
func (c *Control) Serve(h http.Handler) error {
	listener, err := listen(filepath.Join(c.dir, socketName))
	if err != nil {
		return err
	}
	c.server = &http.Server{Handler: h, ReadHeaderTimeout: timeout, WriteTimeout: timeout, ErrorLog: silent.Errors(nil)}
	go func() { c.done <- c.server.Serve(listener) }()
	return nil
}

// listen makes the socket. The lock is held, so one that is there was
// left behind.
func listen(path string) (l *net.UnixListener, err error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	err = atShortPath(path, func(short string) (err error) {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false) // the short path is gone by then
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close(), os.Remove(path))
	}
	return l, nil
}

// atShortPath calls use with a path of the socket at path that the system can
// take: a store may lie deeper than that.
func atShortPath(path string, use func(short string) error) (err error) {
	if len(path) <= maxSocketPath {
		return use(path)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "image2ipfs-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	link := filepath.Join(tmp, "store")
	if err := os.Symlink(dir, link); err != nil {
		return err
	}
	return use(filepath.Join(link, filepath.Base(path)))
}

// Answer makes a handler that answers with what get gives, as JSON.
func Answer[T any](get func() T) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, get()) }
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// Close removes the socket, releases the lock and returns when nothing answers any
// more.
func (c *Control) Close() error {
	if c.server == nil {
		return c.lock.Close()
	}
	err := c.server.Close()
	if served := <-c.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if gone := os.Remove(filepath.Join(c.dir, socketName)); !errors.Is(gone, os.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return errors.Join(err, c.lock.Close())
}

// ErrUnknown is matched by the error about a question that the server does not know,
// since it is of an older version.
var ErrUnknown = errors.New("the running server is of a version that does not know this")

// Ask decodes into v what the server of the store in dir answers at a path. The
// error matches [ipfs.ErrUnavailable] when none runs that answers there.
func Ask(ctx context.Context, dir, path string, v any) error {
	return AskWithin(ctx, timeout, dir, path, v)
}

// Patient gives an answer more time than others have.
func Patient(within time.Duration, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(within)); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		h(w, r)
	}
}

// AskWithin is Ask of what may take longer, for which the server must be Patient.
func AskWithin(ctx context.Context, within time.Duration, dir, path string, v any) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	socket := filepath.Join(dir, socketName)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (c net.Conn, err error) {
			err = atShortPath(socket, func(short string) (err error) {
				c, err = new(net.Dialer).DialContext(ctx, "unix", short)
				return err
			})
			return c, err
		},
		DisableKeepAlives: true,
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server"+path, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("%w: no server with peers answers at %s: %w", ipfs.ErrUnavailable, socket, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%s%s: %w", socket, path, ErrUnknown)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s%s: %s", socket, path, resp.Status)
	}
	return jsontext.Fault(json.NewDecoder(resp.Body).Decode(v))
}
