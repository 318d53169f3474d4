package packstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// catchUps is how often gc marks what has come while others go on, before it has them
// wait for the rest.
const catchUps = 5

// settle runs take, which takes something away, while nobody publishes anything or changes
// what is published, and all that is needed by then is marked. What take relies on is on
// disk.
func (g *collector) settle(ctx context.Context, take func() error) error {
	for range catchUps {
		if came, err := g.catchUp(ctx); err != nil {
			return err
		} else if came == 0 {
			break
		}
	}
	unlock, err := g.s.dir.alone(ctx, g.waits)
	if err != nil {
		return err
	}
	_, err = g.catchUp(ctx)
	if err == nil {
		err = g.intact()
	}
	if err == nil {
		err = g.s.dir.nextEra()
	}
	if err == nil {
		err = errors.Join(syncDir(g.s.dir.packs()), syncDir(g.s.dir.index()))
	}
	if err == nil {
		g.s.at("gc: alone")
		err = take()
	}
	return errors.Join(err, unlock())
}

// intact finds out whether the index and the packs on which gc relies are still there. An
// older version may have collected garbage meanwhile, and have kept another copy of a
// block.
func (g *collector) intact() error {
	names, err := g.s.dir.segments()
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, name := range names {
		there[name] = true
	}
	for _, name := range g.segs {
		if !there[name] {
			return changedError("segment " + name)
		}
	}
	ids, err := g.s.dir.packIDs()
	if err != nil {
		return err
	}
	for _, id := range ids {
		there[id.String()] = true
	}
	for id, p := range g.packs {
		if p.needed() && !there[id.String()] {
			return changedError("pack " + id.String())
		}
	}
	return nil
}

func changedError(what string) error {
	return fmt.Errorf("%w: somebody else has taken %s away meanwhile, perhaps an older image2ipfs: run gc again", ipfs.ErrUnavailable, what)
}

// Times of files are those of the last tick of a clock: two changes within one leave the
// same. Some file systems have ticks of up to two seconds.
const (
	fineTick, coarseTick = 100 * time.Millisecond, 2100 * time.Millisecond
	quietTries           = 5
)

// quietState is packState at a time when any change that comes later shows in it. quiet is
// false when the pack is changed again and again.
func (d dir) quietState(ctx context.Context, id packID) (state packState, quiet bool, err error) {
	for range quietTries {
		if state, err = d.packState(id); err != nil {
			return state, false, err
		}
		tick := int64(fineTick)
		if state.modified%int64(time.Millisecond) == 0 && state.changed%int64(time.Millisecond) == 0 {
			tick = int64(coarseTick)
		}
		age := time.Now().UnixNano() - max(state.modified, state.changed)
		if age >= tick || age < -tick { // or a clock was set back, and the next change differs
			return state, true, nil
		}
		if err := pause(ctx, time.Duration(tick-max(age, 0))); err != nil {
			return state, false, err
		}
	}
	return state, false, nil
}
