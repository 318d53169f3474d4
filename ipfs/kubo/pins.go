package kubo

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

const (
	// pinPrefix marks the pins that are ours.
	pinPrefix = "image2ipfs:"
	// pushedPrefix marks those of roots that came of pushes alone.
	pushedPrefix = "image2ipfs-pushed:"
	// maxPinName is Kubo's limit (cmdutils.MaxPinNameBytes), in bytes.
	maxPinName = 255
)

// pinName is the name of a root's pin: the prefix and the names of the images
// in it, with commas between. Names that do not fit are left out; of a first
// one that is too long itself the beginning is kept.
func pinName(names []string, pushed bool) string {
	var b strings.Builder
	if pushed {
		b.WriteString(pushedPrefix)
	} else {
		b.WriteString(pinPrefix)
	}
	for i, n := range names {
		if i > 0 {
			n = "," + n
		}
		room := maxPinName - b.Len()
		if len(n) > room {
			if i > 0 {
				break
			}
			for room > 0 && !utf8.RuneStart(n[room]) {
				room--
			}
			n = n[:room]
		}
		b.WriteString(n)
	}
	return b.String()
}

// union is a and what of b is not in it.
func union(a, b []string) []string {
	all := slices.Clone(a)
	for _, n := range b {
		if !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

// parsePin reads a pin's name: the names in it, and whether its root came of pushes
// alone; ours is false for a pin of somebody else's.
func parsePin(pin string) (names []string, pushed, ours bool) {
	list, ours := strings.CutPrefix(pin, pinPrefix)
	if !ours {
		list, pushed = strings.CutPrefix(pin, pushedPrefix)
	}
	if list == "" || !ours && !pushed {
		return nil, pushed, ours || pushed
	}
	return strings.Split(list, ","), pushed, true
}

// pinned is one line of pin/ls.
type pinned struct {
	cid  cid.Cid
	name string
}

// pins asks for the recursive pins of roots, or of all when there are none, with
// their names as far as Kubo tells them. The error matches [ipfs.ErrNotFound] when one
// of roots has no such pin.
//
// The answer is read to its end, also when ctx ends meanwhile: in a Kubo of 0.30 a
// list that is broken off holds the lock of all pins for good, and nothing can be
// pinned until it is restarted. So ctx ends it only after listGrace, which is for a
// Kubo that hangs.
func (e *Store) pins(ctx context.Context, roots ...string) (pins []pinned, err error) {
	reading, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(listGrace, func() { cancel(context.Cause(ctx)) })
	})()
	resp, err := e.send(reading, e.shell.Request("pin/ls", roots...).
		Option("type", "recursive").Option("names", true).Option("stream", true).Option("offline", true))
	if err != nil {
		return nil, err
	}
	defer resp.Output.Close()
	var wrong error
	for dec := json.NewDecoder(resp.Output); ; {
		var line struct{ Cid, Name string }
		if err := dec.Decode(&line); err == io.EOF {
			return pins, errors.Join(wrong, ctx.Err())
		} else if err != nil {
			return nil, e.mapError(reading, err)
		}
		c, err := cid.Decode(line.Cid)
		if err != nil {
			wrong = fmt.Errorf("%s calls a pin %q: %w", e, line.Cid, err)
			continue
		}
		pins = append(pins, pinned{c, line.Name})
	}
}

// Roots lists the recursive pins whose names say that they are ours, of a cluster those
// that are layouts, by name: Kubo does not know when a pin was made. It knows no sizes either, and at
// most 255 bytes of names.
func (e *Store) Roots(ctx context.Context) ([]ipfs.Root, error) {
	pins, err := e.pins(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing pins: %w", err)
	}
	e.named(ctx, pins)
	var roots []ipfs.Root
	for _, p := range pins {
		if names, pushed, ours := parsePin(p.name); ours {
			roots = append(roots, ipfs.Root{CID: p.cid, Names: names, Pushed: pushed})
		}
	}
	slices.SortFunc(roots, func(a, b ipfs.Root) int {
		return cmp.Or(slices.Compare(a.Names, b.Names), cmp.Compare(a.CID.String(), b.CID.String()))
	})
	return roots, nil
}

// pin gives the name of c's recursive pin, and whether there is one. A Kubo
// before 0.38 leaves the name out when it is asked for one pin, and tells it when it
// lists all of them.
func (e *Store) pin(ctx context.Context, c cid.Cid) (name string, ok bool, err error) {
	pins, err := e.pins(ctx, c.String())
	if errors.Is(err, ipfs.ErrNotFound) || err == nil && len(pins) == 0 {
		return "", false, nil
	}
	if err == nil && pins[0].name == "" && !e.cluster.is.Load() {
		pins, err = e.pins(ctx)
	}
	if err != nil {
		return "", false, fmt.Errorf("looking for the pin of %s: %w", c, err)
	}
	e.named(ctx, pins)
	for _, p := range pins {
		if p.cid.Equals(c) {
			return p.name, true, nil
		}
	}
	return "", true, nil
}

// name gives the root's pin its name, with the names that it had; before is the one that it had, and
// existed says whether there was a pin before this publication. Kubo renames a
// pin by removing it, walking the whole tree and pinning it again, and an
// interruption leaves none: so a pin that was there before is renamed only if
// it must be, and then whatever becomes of ctx.
func (e *Store) name(ctx context.Context, root ipfs.Root, before string, existed bool) error {
	want := pinName(root.Names, root.Pushed)
	if existed {
		names, pushed, _ := parsePin(before)
		pushed = root.Pushed && (pushed || strings.HasPrefix(before, holdPrefix)) // what somebody else has pinned stays
		want = pinName(union(names, root.Names), pushed)
		if before == want {
			_, still, err := e.pin(ctx, root.CID)
			if err != nil || still {
				return err
			}
		}
		ctx = context.WithoutCancel(ctx)
	}
	err := e.exec(ctx, e.shell.Request("pin/add", root.CID.String()).Option("name", want).Option("offline", true))
	if err == nil {
		return nil
	}
	err = fmt.Errorf("naming the pin of %s: %w", root.CID, err)
	if existed {
		return err
	}
	return errors.Join(err, e.undo(ctx, root.CID))
}

// undo removes the pin that a failed publication has left, if it has left one,
// also when ctx has ended. A pin with a name is another's.
func (e *Store) undo(ctx context.Context, c cid.Cid) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	name, ok, err := e.pin(ctx, c)
	if errors.Is(err, ipfs.ErrUnavailable) {
		return nil // said already
	}
	if err == nil && ok && (name == "" || e.cluster.is.Load()) { // which knows no names
		err = e.unpin(ctx, c)
	}
	if err != nil && !errors.Is(err, ipfs.ErrNotFound) {
		return fmt.Errorf("%s may have stayed pinned without a name, `ipfs pin rm %s` removes it: %w", c, c, err)
	}
	return nil
}

// Remove unpins a root. The error matches [ipfs.ErrNotFound] when c has no
// pin, or one that image2ipfs did not name.
func (e *Store) Remove(ctx context.Context, c cid.Cid) error {
	name, ok, err := e.pin(ctx, c)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: %s is not pinned in %s", ipfs.ErrNotFound, c, e)
	}
	if _, _, ours := parsePin(name); !ours {
		return fmt.Errorf("%w: %s is pinned in %s, but as %q, which is not image2ipfs's; `ipfs pin rm` removes it", ipfs.ErrNotFound, c, e, name)
	}
	if err := e.unpin(ctx, c); err != nil {
		return fmt.Errorf("unpinning %s: %w", c, err)
	}
	return nil
}

func (e *Store) unpin(ctx context.Context, c cid.Cid) error {
	return e.exec(ctx, e.shell.Request("pin/rm", c.String()).Option("offline", true))
}
