package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/test/program"
)

// inspect looks whether the store is as the reports say, and knows afterwards
// what is in it.
func (t *trial) inspect(ctx context.Context) error {
	if err := t.intact(ctx); err != nil {
		return err
	}
	if t.disk != nil && t.choose.IntN(4) == 0 {
		if err := t.cancelSlow(ctx); err != nil { // what is open for writing keeps a disk from becoming read-only
			return err
		}
		if err := t.whileReadOnly(ctx); err != nil {
			return err
		}
	}
	if t.choose.IntN(5) == 0 {
		return t.collect()
	}
	return nil
}

// intact checks that what must be there is listed, that all that is listed
// verifies and can be pulled, and that what is not there is not served in part.
func (t *trial) intact(ctx context.Context) error {
	out, err := t.output("ls", "-q")
	if err != nil {
		return fmt.Errorf("the store does not open: %w", err)
	}
	listed := strings.Fields(out)
	for i, m := range t.images {
		is := slices.Contains(listed, m.root)
		switch {
		case t.states[i] == kept && !is:
			return fmt.Errorf("LOST: %s was reported published and is not listed", m.root)
		case t.states[i] == gone && is:
			return fmt.Errorf("%s was reported removed, or never published, and is listed", m.root)
		case is:
			t.states[i] = kept
		default:
			t.states[i] = gone
		}
	}
	if len(listed) > 0 {
		if _, err := t.output(append([]string{"verify", "-q"}, listed...)...); err != nil {
			return fmt.Errorf("LOST: what is listed is not whole: %w", err)
		}
	}
	for i, m := range t.images {
		err := t.pull(ctx, m)
		if err != nil && (t.states[i] == kept || errors.Is(err, program.ErrWrongBytes)) {
			return fmt.Errorf("the server does not give %s: %w", m.root, err)
		}
	}
	return nil
}

var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// pull fetches all of an image and checks the digests.
func (t *trial) pull(ctx context.Context, m image) error {
	_, err := program.Pull("http://"+t.server.Addr, m.repository, m.manifest, func(url string, want digest.Digest) ([]byte, error) {
		return program.Get(ctx, client, url, want)
	})
	return err
}

// output runs a command that must succeed.
func (t *trial) output(args ...string) (string, error) {
	j := newJob(t.Program, -1, args...)
	if err := j.start(); err != nil {
		return "", err
	}
	if err := j.wait(); err != nil {
		return "", err
	}
	if j.err != nil {
		return "", j.failure()
	}
	return j.stdout.String(), nil
}

// waste is the part of the packs, in percent, that gc may leave in them, and
// slack what the index takes besides.
const (
	waste = 12
	slack = 64 << 10
)

// collect collects garbage: nothing half-written may stay, and hardly anything
// that is not needed. A disk that is full may have no room to rewrite packs.
func (t *trial) collect() error {
	t.collected++
	out, err := t.output("gc", "--json")
	if err != nil {
		return err
	}
	var stats struct{ KeptBytes int64 }
	if err := json.Unmarshal([]byte(out), &stats); err != nil {
		return err
	}
	if t.slow.at != "" { // it has its file, and keeps what it has found
		return nil
	}
	temporary, err := size(filepath.Join(t.Store, "tmp"))
	if err != nil || temporary != 0 {
		return errors.Join(err, fmt.Errorf("after gc %d bytes are left in tmp", temporary))
	}
	packs, err := size(filepath.Join(t.Store, "packs"))
	if err == nil && t.disk == nil && packs > stats.KeptBytes*(100+waste)/100+slack {
		err = fmt.Errorf("after gc the packs have %d bytes for %d that are needed", packs, stats.KeptBytes)
	}
	return err
}

// size adds up the files of a directory.
func size(dir string) (bytes int64, err error) {
	files, err := os.ReadDir(dir)
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			return 0, err
		}
		bytes += info.Size()
	}
	return bytes, err
}

// whileReadOnly looks after a store that cannot be written: it can be read, each
// change is refused, and nothing has changed.
func (t *trial) whileReadOnly(ctx context.Context) error {
	t.readOnly++
	t.server.Kill() // it may hold files that gc has removed, which keep the disk writable
	t.kills++
	if err := t.disk.setReadOnly(true); err != nil {
		return err
	}
	err := t.server.Start(ctx)
	for i, m := range t.images {
		args := []string{"publish", "-q", m.archive}
		if t.states[i] == kept {
			args = []string{"rm", m.root}
		}
		if out, failed := t.output(args...); failed == nil {
			err = errors.Join(err, fmt.Errorf("%v on a read-only store says %q", args, out))
		}
	}
	if _, failed := t.output("gc"); failed == nil {
		err = errors.Join(err, errors.New("gc on a read-only store reports success"))
	}
	if err = errors.Join(err, t.intact(ctx), t.checkPushes(ctx, true)); err != nil {
		err = fmt.Errorf("read-only: %w", err)
	}
	return errors.Join(err, t.disk.setReadOnly(false))
}

// clear removes everything: nothing may be left.
func (t *trial) clear(ctx context.Context) error {
	if err := errors.Join(t.cancelSlow(ctx), t.removePushes(ctx)); err != nil {
		return err
	}
	for i, m := range t.images {
		if t.states[i] == kept {
			if _, err := t.output("rm", m.root); err != nil {
				return err
			}
			t.states[i] = gone
		}
	}
	if err := errors.Join(t.intact(ctx), t.collect()); err != nil {
		return err
	}
	for _, sub := range []string{"packs", "index", "roots"} {
		n, err := size(filepath.Join(t.Store, sub))
		if err != nil || n != 0 {
			return errors.Join(err, fmt.Errorf("everything was removed, and %d bytes are left in %s", n, sub))
		}
	}
	return nil
}
