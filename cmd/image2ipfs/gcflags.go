package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/spf13/pflag"

	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/registry/local"
	"github.com/image2ipfs/image2ipfs/server"
)

// timeOfDay is how people write one.
const timeOfDay = "15:04"

// gcSchedule is a flag such as 24h, 03:30 for once a day, or off.
type gcSchedule struct{ local.Schedule }

func (s *gcSchedule) String() string {
	switch {
	case s.Every > 0:
		return s.Every.String()
	case s.Daily:
		return time.Time{}.Add(s.At).Format(timeOfDay)
	}
	return "off"
}

func (s *gcSchedule) Type() string { return "schedule" }

func (s *gcSchedule) Set(text string) error {
	if isOff(text) {
		s.Schedule = local.Schedule{}
		return nil
	}
	if at, err := time.Parse(timeOfDay, text); err == nil {
		s.Schedule = local.Schedule{Daily: true, At: time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute}
		return nil
	}
	var every age
	if err := every.Set(text); err != nil || time.Duration(every) < time.Minute {
		return errors.New("want a time between two, of a minute at least, such as 24h or 7d, one of the day, such as 03:30, or off")
	}
	s.Schedule = local.Schedule{Every: time.Duration(every)}
	return nil
}

// gcAge is an [age], or off.
type gcAge struct{ age }

func (a *gcAge) String() string {
	if a.age == 0 {
		return "off"
	}
	return a.age.String()
}

func (a *gcAge) Set(text string) error {
	if isOff(text) {
		a.age = 0
		return nil
	}
	if a.age.Set(text) != nil {
		return errors.New("want a time such as 30d, 2w or 12h, or off")
	}
	return nil
}

// gcServeOptions are the flags of serve that say what it clears away.
type gcServeOptions struct {
	when   gcSchedule
	unused gcAge
	limit  byteSize
}

func (o *gcServeOptions) flags(f *pflag.FlagSet) {
	f.Var(&o.when, "gc", "free what nobody needs in the embedded store, as gc does, this often (24h) or at this time of the day (03:30); never what has a local name or one that moves, or was published or pinned by command")
	f.Var(&o.unused, "gc-unused", "with --gc: take away, too, what was pushed, no local name is any more and nobody has pulled from a server for this time (30d), and parts of the cache that were not read")
	f.Var(&o.limit, "gc-limit", "with --gc: how much the embedded store and its cache may take; over it the cache goes, then what was pushed and no local name is, what was not pulled for longest first")
}

// check refuses flags that would have no effect.
func (o *gcServeOptions) check() error {
	if o.when == (gcSchedule{}) && (o.unused.age > 0 || o.limit > 0) {
		return usageError{errors.New("--gc-unused and --gc-limit say what goes when --gc is due: give that, too, such as --gc 24h")}
	}
	return nil
}

// collected is the embedded store as a collector wants it.
type collected struct{ *packstore.Store }

// Collect implements [local.Collected].
func (c collected) Collect(ctx context.Context) (freed int64, err error) {
	stats, err := c.GC(ctx, packstore.GCOptions{})
	return stats.FreedBytes, err
}

// collect frees the store in the background until stop is called; told is for a server's
// metrics. Without a schedule it does nothing.
func (o *gcServeOptions) collect(ctx context.Context, store *packstore.Store, log *slog.Logger) (told func() server.Collected, stop func()) {
	if o.when == (gcSchedule{}) {
		return nil, func() {}
	}
	c := local.NewCollector(collected{store}, local.CollectorOptions{Next: o.when.Next, Unused: time.Duration(o.unused.age), Limit: int64(o.limit), Logger: log,
		Meant: func() (local.Meant, error) { return meantBy(store) }})
	log.Info("freeing the store in the background", "gc", o.when.String(), "unused", o.unused.String(), "limit", int64(o.limit))
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Run(ctx)
	}()
	told = func() server.Collected {
		s := c.Stats()
		return server.Collected{Runs: s.Runs, Failures: s.Failures, Removed: s.Removed, Freed: s.Freed, Over: s.Over, Last: s.Last, Limit: int64(o.limit)}
	}
	return told, func() { cancel(); <-done }
}
