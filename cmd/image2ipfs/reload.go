package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/image2ipfs/image2ipfs/server"
	"github.com/image2ipfs/image2ipfs/server/settings"
)

// changeable are the settings that SIGHUP changes while the server runs.
var changeable = []string{"access-log", "catalog", "debug", "log-format"}

// switched is a log whose level and format may change.
type switched struct {
	slog.Handler // text
	json         slog.Handler
	how          *logChoice
}

// logChoice is what a switched log goes by.
type logChoice struct {
	level slog.LevelVar
	json  atomic.Bool
}

func (c *logChoice) set(debug, json bool) {
	c.level.Set(slog.LevelInfo)
	if debug {
		c.level.Set(slog.LevelDebug)
	}
	c.json.Store(json)
}

// Handle implements [slog.Handler].
func (s *switched) Handle(ctx context.Context, r slog.Record) error {
	if s.how.json.Load() {
		return s.json.Handle(ctx, r)
	}
	return s.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (s *switched) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &switched{s.Handler.WithAttrs(attrs), s.json.WithAttrs(attrs), s.how}
}

// WithGroup implements [slog.Handler].
func (s *switched) WithGroup(name string) slog.Handler {
	return &switched{s.Handler.WithGroup(name), s.json.WithGroup(name), s.how}
}

// logger makes the log of serve, which how changes later.
func (o *serveOptions) logger(cmd *cobra.Command) (log *slog.Logger, how *logChoice) {
	how = &logChoice{}
	how.set(o.debug, o.logFormat == "json")
	options := &slog.HandlerOptions{Level: &how.level}
	return slog.New(&switched{slog.NewTextHandler(cmd.ErrOrStderr(), options), slog.NewJSONHandler(cmd.ErrOrStderr(), options), how}), how
}

func (o *serveOptions) checkLog() error {
	if o.logFormat != "text" && o.logFormat != "json" {
		return usageError{fmt.Errorf("log format %q: want text or json", o.logFormat)}
	}
	return nil
}

// reloads reads the settings again with each SIGHUP, and has those take effect that can,
// until stop is called. Where another has changed none does, and the log says which.
func (o *serveOptions) reloads(cmd *cobra.Command, s *server.Server, log *slog.Logger, how *logChoice, hangups chan os.Signal) (stop func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range hangups {
			tell(log, daemon.SdNotifyReloading)
			logStrangers(log, cmd)
			fresh, changed, err := o.again(cmd)
			if err != nil {
				log.Error("the settings stay as they were", "error", strings.ReplaceAll(err.Error(), "\n", "; "))
			} else {
				how.set(fresh.debug, fresh.logFormat == "json")
				s.SetLive(fresh.live())
				o.debug, o.logFormat, o.accessLog, o.access.catalog = fresh.debug, fresh.logFormat, fresh.accessLog, fresh.access.catalog
				log.Info("the settings were read again", "changed", strings.Join(changed, " "))
			}
			s.NoteReload(err == nil)
			tell(log, daemon.SdNotifyReady)
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(hangups)
		<-ended
	}
}

// live are the settings of a server that may change.
func (o *serveOptions) live() server.Live {
	return server.Live{Catalog: o.access.catalog, NoAccessLog: !o.accessLog}
}

// again reads the settings once more, beside what the command line says, and lists those
// that have changed. It is an error when one of them cannot change.
func (o *serveOptions) again(cmd *cobra.Command) (fresh *serveOptions, changed []string, err error) {
	fresh = &serveOptions{}
	read := newServeOf(fresh)
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if o.given[f.Name] == settings.FromCommandLine {
			err = errors.Join(err, copyFlag(read.Flags(), f))
		}
	})
	if err != nil {
		return nil, nil, err
	}
	if _, err := applySettings(cmd.Context(), read, o.configFile); err != nil {
		return nil, nil, err
	}
	checked := *fresh // whose flags stay as they are given
	checked.use(o.sockets)
	if err := checked.check(); err != nil {
		return nil, nil, err
	}
	var fixed []string
	read.Flags().VisitAll(func(f *pflag.Flag) {
		_, isSetting := o.given[f.Name]
		was := o.began[f.Name]
		switch now := f.Value.String(); {
		case !isSetting || now == was:
		case slices.Contains(changeable, f.Name):
			changed = append(changed, f.Name)
		default:
			fixed = append(fixed, f.Name)
		}
	})
	if len(fixed) > 0 {
		return nil, nil, fmt.Errorf("%s cannot change while the server runs, and nothing was changed: restart it, or set back what has changed; %s can", strings.Join(fixed, ", "), strings.Join(changeable, ", "))
	}
	for _, name := range changed {
		o.began[name] = read.Flags().Lookup(name).Value.String()
	}
	return fresh, changed, nil
}

// copyFlag gives the flag of that name the value that f has.
func copyFlag(to *pflag.FlagSet, f *pflag.Flag) error {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		target := to.Lookup(f.Name)
		target.Changed = true
		return target.Value.(pflag.SliceValue).Replace(list.GetSlice())
	}
	return to.Set(f.Name, f.Value.String())
}

// remember notes what each setting is at the start, and where that is from.
func (o *serveOptions) remember(flags *pflag.FlagSet, given map[string]settings.Origin) {
	o.given, o.began = given, map[string]string{}
	flags.VisitAll(func(f *pflag.Flag) { o.began[f.Name] = f.Value.String() })
}
