package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/network"
	"github.com/image2ipfs/image2ipfs/server"
	"github.com/image2ipfs/image2ipfs/server/settings"
	"github.com/image2ipfs/image2ipfs/trust"
)

// serveOptions are the flags of serve.
type serveOptions struct {
	storeOptions
	addr       string
	push       pushOptions
	gateways   []string
	sources    []string
	noRedirect bool
	open       bool
	access     accessOptions
	names      serveNames
	peers      peerOptions
	scrub      scrubPace
	gc         gcServeOptions
	configFile string
	logFormat  string
	debug      bool
	accessLog  bool

	given   map[string]settings.Origin // where each setting is from
	began   map[string]string          // what each is, by which the server runs
	sockets map[string]net.Addr        // of those that systemd opened, by name
}

const serveHelp = `Serve published images to everything that speaks the registry protocol (/v2/).

Manifests are always served from here, checked. Blobs come from the local store;
with --gateway, engines are redirected to an IPFS gateway as soon as one has
answered for the image: where they can follow. A gateway on a loopback address is
for clients on this machine, one without TLS for those who ask without; a request
for several ranges, one that is repeated within 10 s, and all with --allow or
--pinned are served from here. What is published while the server runs is served
at once. The server also answers /ipfs/ from its own store, so that it can be the
gateway of another.

On an address that others reach, images that are not in the own store are only
redirected to a gateway, never fetched for others, unless --open is given. Which
images are served at all is limited by --pinned and --allow; together with peers,
who may have every block of the store, that takes --swarm-key.

With --require-signature KEY nothing is served but images that are signed by that key
(cosign, with its signature beside the image), and what they lead to, by whatever digest;
a name that moves to another image stays what it was. Names that were pushed here are not
held to it: on --push images are before they are signed.

With --peers, --mdns, --public, --routing or --swarm-listen the server also gives
the blocks of its store to peers over libp2p, and gets from them what it lacks.
The log says what is exposed to whom; without these it is on no such network.

On a loopback address only requests for localhost, a loopback address or --host are
answered, so that no web page reaches the server by a name of its own.

With --push, clients push to an address of its own: docker, skopeo, podman, crane,
oras and all others that speak the protocol. Each tag that is pushed becomes a
published root, whose name with its CID is told in the answer (Image2ipfs-Name,
Warning), in the log, by ls and by ref app:1. On that address, and there alone,
names without a CID mean something: what was last pushed, published or tagged by
them. With --htpasswd all of it
asks for user and password (docker login), and with TLS it may be an address that
others reach. With --name KEY=REPOSITORY a name that moves means what was last pushed
there (see image2ipfs name). Reading by CID on --addr stays open to all, unless --auth-read is
given; /healthz asks nobody there. --events tells others of each push.

The service of the packages serves the store /var/lib/image2ipfs, which belongs to the
user image2ipfs: publish into it by docker save app:1 | sudo -u image2ipfs
IMAGE2IPFS_PATH=/var/lib/image2ipfs image2ipfs, or push to it.

Sockets that systemd opened take the place of --addr, --push and --metrics, also where
those are not given, by FileDescriptorName=images, push and metrics; it is told when the server answers and
when it stops (Type=notify).

Names that move are understood where those with a CID are: HOST/k51…/app:1 (IPNS), and
HOST/DOMAIN/app:1 for domains that --dnslink names. Records come from Kubo, peers,
gateways and routing servers, and are checked; below such a name repository and tag must
be those of the image. Names whose keys are in the store are published again before they
expire.

Each flag can be set in a file, too, which --config names, and by a variable of the
environment: see image2ipfs config. SIGHUP has them read again, and access-log, catalog,
debug and log-format take effect while transfers go on; where another has changed
nothing does, and the log says which.

A browser shows at / what is published, who shares how much with whom, what is inside
layers, signatures, peers, traffic, and pushes as they come: to this machine, with
--catalog to all who may read. Addresses of peers are for this machine alone; with --allow
and --pinned neither peers, traffic nor the size of the store are shown.

Prometheus metrics are at /metrics, or with --metrics on an address of their own.

Ctrl-C or SIGTERM stops the server as soon as the running transfers have ended,
after at most 30 s, with exit code 0. A second one ends it at once.`

func newServe() *cobra.Command { return newServeOf(&serveOptions{}) }

func newServeOf(opts *serveOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "serve",
		Aliases: []string{"server"},
		Short:   "Serve published images as a registry",
		Long:    serveHelp,
		Example: `  image2ipfs serve --addr 127.0.0.1:5000
  image2ipfs serve --gateway http://gateway.local:8080 --gateway http://spare.local:8080
  image2ipfs serve --api http://127.0.0.1:5001
  image2ipfs serve --peers /ip4/192.0.2.1/tcp/4001/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X
  image2ipfs serve --push 127.0.0.1:5001
  image2ipfs serve --push 127.0.0.1:5001 --events https://ci.example.com/pushed
  image2ipfs serve --push :5001 --htpasswd htpasswd --push-tls-cert cert.pem --push-tls-key key.pem
  image2ipfs serve --require-signature cosign.pub
  image2ipfs serve --mdns --swarm-key swarm.key
  image2ipfs serve --peers dns:peers.example.com --swarm-key swarm.key
  image2ipfs serve --pinned --tls-cert cert.pem --tls-key key.pem --metrics 127.0.0.1:9100`,
		Args: usage(noArguments),
		RunE: func(cmd *cobra.Command, _ []string) error { return opts.run(cmd) },
	}
	opts.storeFlags(cmd)
	opts.flags(cmd)
	return cmd
}

func (o *serveOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.configFile, "config", "", "file with settings (TOML), one for each flag; flags that are given and IMAGE2IPFS_SERVE_<FLAG> are stronger (default: $IMAGE2IPFS_SERVE_CONFIG)")
	f.StringVar(&o.addr, "addr", ":5000", "address to serve on")
	o.push.flags(f)
	f.StringSliceVar(&o.gateways, "gateway", nil, "IPFS gateway to read from, and to redirect pulling clients to where they can follow; may be given several times (default: $"+gatewayEnv+")")
	f.StringSliceVar(&o.sources, "source", nil, "IPFS gateway to read from alone, such as one that gives blocks and no files, or that pulling clients cannot reach; may be given several times")
	f.BoolVar(&o.noRedirect, "no-redirect", false, "stream blobs even when a gateway has them")
	f.BoolVar(&o.open, "open", false, "fetch images that are not in the own store for everyone, not only for requests from this machine")
	o.access.flags(f)
	o.names.flags(f)
	o.peers.serveFlags(f)
	f.Var(&o.scrub, "scrub", "read the whole store in the background in this time (168h), or this fast (10MiB/s), again and again, to find damage before it is needed; the log and /metrics tell")
	o.gc.flags(f)
	f.StringVar(&o.logFormat, "log-format", "text", "text or json")
	f.BoolVar(&o.accessLog, "access-log", true, "log each request that was answered; where the server fails is logged in any case")
	f.BoolVarP(&o.debug, "debug", "d", false, "log what happens between the requests as well")
	_ = cmd.RegisterFlagCompletionFunc("log-format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

func (o *serveOptions) run(cmd *cobra.Command) (err error) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // one that comes before it serves ends nothing
	defer signal.Stop(hangups)
	if err := o.configured(cmd); err != nil {
		return err
	}
	given, err := openSockets()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, given.close()) }()
	o.use(given.addresses())
	if err := o.check(); err != nil {
		return err
	}
	return o.serve(cmd, given, hangups)
}

// serve opens all that the settings name, and serves until its context ends.
func (o *serveOptions) serve(cmd *cobra.Command, given sockets, hangups chan os.Signal) (err error) {
	ctx := cmd.Context()
	log, how := o.logger(cmd)
	logStrangers(log, cmd)
	all, err := o.openAll(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	if err := o.ready(all); errors.Is(err, syscall.EROFS) { // a disk with faults has what was published all the same
		log.Error("what is published is served, and pushes are refused", "error", err)
	} else if err != nil {
		return err
	}
	open, err := o.listen(ctx, given)
	if err != nil {
		return err
	}
	defer closeAll(open)
	o.peers.memory = server.NewMemory(int64(o.access.memory))
	o.peers.everyone = o.open
	peers, err := o.peers.join(ctx, all.own, true, log)
	if err != nil {
		return err
	}
	if peers != nil {
		defer func() { err = errors.Join(err, peers.Close()) }()
	}
	cfg, err := o.config(ctx, all, peers, log)
	if err == nil {
		err = exposed(cfg.Expose(open))
	}
	if err != nil {
		return err
	}
	stop, err := o.maintain(ctx, all, &cfg, log)
	if err != nil {
		return err
	}
	defer stop()
	if cfg.Events, err = o.push.openEvents(log); err != nil {
		return err
	}
	if cfg.Events != nil {
		defer func() { err = errors.Join(err, cfg.Events.Close()) }()
	}
	stopNames, err := o.names.start(ctx, all, o, peers, &cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopNames()) }()
	s, err := server.New(cfg)
	if err != nil {
		return err
	}
	tellServing(log, all, cfg, open)
	defer tellSystemd(ctx, log)()
	defer o.reloads(cmd, s, log, how, hangups)()
	return s.ServeAll(ctx, open)
}

// ready tells whether the own store can be read, and written where pushes are taken.
func (o *serveOptions) ready(all stores) error {
	return all.own.Ready(o.push.addr != "" || o.sockets["push"] != nil)
}

// maintain reads the store in the background, and frees it, until stop.
func (o *serveOptions) maintain(ctx context.Context, all stores, cfg *server.Config, log *slog.Logger) (stop func(), err error) {
	told, stopScrubbing, err := o.scrub.scrub(ctx, all.own, log)
	if err != nil {
		return nil, err
	}
	collected, stopCollecting := o.gc.collect(ctx, all.own, log)
	cfg.Scrubbed, cfg.Collected = told, collected
	return func() { stopCollecting(); stopScrubbing() }, nil
}

// tellServing logs what is served, and where.
func tellServing(log *slog.Logger, all stores, cfg server.Config, open server.Listeners) {
	for _, e := range all.Stores {
		log.Info("images from", "store", e.String())
	}
	log.Info("serving", "addr", open.Images.Addr().String(), "open", cfg.Open, "tls", cfg.TLS != nil, "limited", cfg.Allow != nil, "signed", signers(cfg.Signed))
}

// signers names the keys of which one must have signed.
func signers(p *trust.Policy) string {
	if p == nil {
		return "not required"
	}
	return "by " + p.String()
}

// config decides where images come from and whom the server fetches for.
func (o *serveOptions) config(ctx context.Context, all stores, peers *network.Network, log *slog.Logger) (server.Config, error) {
	cfg := server.Config{NoRedirect: o.noRedirect, Open: o.open, OpenHere: true, NoAccessLog: !o.accessLog, Logger: log, Dir: all.own.Path(), Ready: func() error { return o.ready(all) }, Memory: o.peers.memory}
	if err := o.access.apply(ctx, &cfg, all); err != nil {
		return cfg, err
	}
	if err := o.push.apply(ctx, &cfg, all); err != nil {
		return cfg, err
	}
	given := gatewayURLs(o.gateways)
	if k := all.kubo; k != nil && len(given) == 0 {
		own, err := k.Gateway(ctx)
		if err != nil {
			log.Info("blobs are streamed: Kubo's own gateway does not answer", "error", err)
		} else {
			given = []string{own}
		}
	}
	var own ipfs.Getter = all.own
	if peers != nil {
		own = peers.Local()
		cfg.Collectors = append(cfg.Collectors, peers.Metrics())
		cfg.Page.Peers = pagePeers(peers)
	}
	cfg.From(origins(own, all.kubo, peers)...)
	gateways, err := dialGateways(given)
	for _, g := range gateways {
		cfg.Gateways = append(cfg.Gateways, g)
	}
	if err != nil {
		return cfg, err
	}
	asked, err := dialGateways(o.sources)
	if err != nil {
		return cfg, fmt.Errorf("--source: %w", err)
	}
	for _, g := range asked {
		cfg.Remote = append(cfg.Remote, g)
	}
	cfg.Page.Where = pageWhere(all, peers, append(gateways, asked...))
	return cfg, nil
}
