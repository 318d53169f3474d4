package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/ipfs/go-cid"
	"github.com/spf13/pflag"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/publish"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
	"github.com/image2ipfs/image2ipfs/server"
)

// eventsEnv is the environment variable in place of --events.
const eventsEnv = "IMAGE2IPFS_EVENTS"

// pushOptions are the flags of serve that say who may push, and where.
type pushOptions struct {
	addr            string
	tlsCert, tlsKey string
	htpasswd        string
	authRead        bool
	anyone          bool
	registry        string
	events          string
	recompress      bool
	history         int
}

func (o *pushOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.addr, "push", "", "address to take pushes on, such as 127.0.0.1:5001; images go into Kubo if one is used, else into the embedded store (default: none are taken)")
	f.StringVar(&o.htpasswd, "htpasswd", "", "ask all on the address of --push for user and password of this file, as htpasswd -B writes it; read again when it changes")
	f.BoolVar(&o.authRead, "auth-read", false, "ask for them on --addr and for metrics, too; clients are not redirected then")
	f.StringVar(&o.tlsCert, "push-tls-cert", "", "PEM file with the certificate chain of the address of --push (default: --tls-cert)")
	f.StringVar(&o.tlsKey, "push-tls-key", "", "PEM file with the key of --push-tls-cert")
	f.BoolVar(&o.anyone, "insecure-anyone-may-push", false, "take pushes where others reach the server without TLS or --htpasswd, so that they may push, or read passwords on their way")
	f.StringVar(&o.events, "events", "", "tell of each push by a line of JSON, appended to this file or posted to this http or https URL, again for an hour while it does not answer, or with 408, 429 or 5xx (default: $"+eventsEnv+", for a URL with a password)")
	f.BoolVar(&o.recompress, "recompress", false, "publish what is pushed a second time, with layers that share blocks with those of other versions; no tag is moved to it")
	f.IntVar(&o.history, "keep-history", pushed.DefaultHistory, "how many images that a tag was before stay published when another is pushed by it; what was published by command always stays")
	f.StringVar(&o.registry, "registry", "", "host in the names that are told to who pushes (default: by which they asked)")
}

// check refuses what makes no sense, or has not the effect that it says.
func (o *pushOptions) check(peers peerOptions) error {
	err := errors.Join(o.checkUse(peers), checkPair(o.tlsCert, o.tlsKey, "--push-tls"))
	if wrong := ref.CheckRegistry(o.registry); wrong != nil {
		err = errors.Join(err, usageError{fmt.Errorf("--registry: %w", wrong)})
	}
	if to := o.eventsTo(); to != "" {
		if wrong := server.CheckEvents(to); wrong != nil {
			err = errors.Join(err, usageError{fmt.Errorf("--events: %w", wrong)})
		}
	}
	return err
}

// checkUse refuses flags that would have no effect, or less than they say.
func (o *pushOptions) checkUse(peers peerOptions) error {
	switch {
	case o.history < 0:
		return usageError{fmt.Errorf("--keep-history is %d: expected a number from 0 on", o.history)}
	case o.addr == "" && (o.tlsCert != "" || o.tlsKey != "" || o.anyone || o.registry != "" || o.events != "" || o.recompress):
		return usageError{errors.New("--push-tls-cert, --push-tls-key, --registry, --events, --recompress and --insecure-anyone-may-push are for --push, which is not given")}
	case o.htpasswd != "" && o.addr == "" && !o.authRead:
		return usageError{errors.New("--htpasswd asks nobody: give --push, or --auth-read to ask all who read")}
	case o.htpasswd == "" && o.authRead:
		return usageError{errors.New("--auth-read asks for passwords: give their file with --htpasswd")}
	case o.authRead && peers.asked() && peers.swarmKey == "":
		return usageError{errors.New("--auth-read asks clients for a password, and peers may have every block of the store without one: with peers give --swarm-key too, so that they are your own, or run this server without peers")}
	}
	return nil
}

// eventsTo is what is told of pushes; "" for nothing.
func (o *pushOptions) eventsTo() string {
	if o.addr == "" {
		return o.events
	}
	return cmp.Or(o.events, os.Getenv(eventsEnv))
}

// openEvents opens what is told of pushes; nil for nothing.
func (o *pushOptions) openEvents(log *slog.Logger) (*server.Events, error) {
	to := o.eventsTo()
	if to == "" {
		return nil, nil
	}
	e, err := server.OpenEvents(to, server.Options{Logger: log})
	if errors.Is(err, server.ErrEvents) {
		return nil, usageError{fmt.Errorf("--events: %w", err)}
	}
	if err != nil {
		return nil, fmt.Errorf("--events: %w", err)
	}
	return e, nil
}

// apply puts the flags into a server's configuration.
func (o *pushOptions) apply(ctx context.Context, cfg *server.Config, all stores) (err error) {
	history := o.history
	if history == 0 {
		history = -1 // none, where the registry's 0 is its default
	}
	meant := func() (map[string]string, error) { return meantBy(all.own) }
	cfg.Pushed = pushed.New(all.recorder, pushed.Options{History: history, Meant: meant})
	if o.recompress {
		cfg.Recompress = func(ctx context.Context, root cid.Cid, to ipfs.Store) (cid.Cid, error) {
			again, err := publish.Again(ctx, all.recorder, root, to, publish.Options{Recompress: true})
			if err != nil {
				return cid.Undef, err
			}
			return again.Root, nil
		}
	}
	cfg.AuthRead, cfg.AnyoneMayPush, cfg.Registry = o.authRead, o.anyone, ref.CleanRegistry(o.registry)
	if o.tlsCert != "" {
		if cfg.PushTLS, err = server.TLS(ctx, o.tlsCert, o.tlsKey, server.Options{Logger: cfg.Logger}); err != nil {
			return err
		}
	}
	if o.htpasswd == "" {
		return nil
	}
	if cfg.Passwords, err = server.Htpasswd(ctx, o.htpasswd, server.Options{Logger: cfg.Logger}); errors.Is(err, server.ErrHtpasswd) {
		return usageError{fmt.Errorf("--htpasswd: %w", err)}
	}
	if err != nil {
		return fmt.Errorf("--htpasswd: %w", err)
	}
	return nil
}
