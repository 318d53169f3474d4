package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/image2ipfs/image2ipfs/internal/input"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/kubo"
	"github.com/image2ipfs/image2ipfs/layer"
	"github.com/image2ipfs/image2ipfs/publish"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/local"
	"github.com/image2ipfs/image2ipfs/source"
)

// publishOptions are the flags of the client and of publish.
type publishOptions struct {
	storeOptions
	registry    string
	input       string
	noAdd       bool
	output      string
	quiet       bool
	debug       bool
	json        bool
	compression string
	level       int
	recompress  bool
	lazy        bool
	platforms   []string
	from        string
	gateways    []string
	engines     engineOptions
	tag         string
	pin         serviceOption

	names ipfs.Store // that keeps the local names of what is published
}

func newPublish() *cobra.Command {
	opts := &publishOptions{}
	cmd := &cobra.Command{
		Use:   "publish SOURCE...",
		Short: "Publish images of archives and engines on IPFS",
		Long: `Publish images on IPFS and print the names to pull them by, one line for each
image name. A SOURCE is one of:

  FILE, DIR, -              an archive in a file, a directory or on standard input
  docker-daemon:NAME        an image in dockerd, of either image store
  podman:NAME               an image in podman, by its service
  containerd:NAME           an image in containerd
  docker://HOST/NAME        an image in a registry, with its signatures, SBOMs and
                            whatever else refers to it
  ipfs://CID                what nerdctl push ipfs:// left, of the own store, Kubo or
                            gateways

An archive is what docker save of any era writes, an OCI image layout (buildkit,
skopeo, podman, containerd), or a directory of skopeo's dir: transport, plain or
wrapped in gzip, zstd, bzip2 or lz4. Which it is, is found out; skopeo's
docker-archive:, oci:, oci-archive: and dir: are understood, too. Everything that has
a digest keeps it; images of docker archives get OCI manifests and compressed layers.

Images of an engine are read as it saves them, with no file in between. dockerd's
classic store and podman keep the files of layers, so updates of such images get
small; dockerd's containerd store and containerd keep layers as they were compressed.

Of a registry only what the store does not know by its digest is fetched, and what
was fetched before a failure is not fetched again for a day. Credentials are those of
docker login (and its helpers) and podman login; registries on the loopback may do
without TLS.`,
		Example: `  image2ipfs publish app.tar
  image2ipfs publish docker-daemon:app:1
  image2ipfs publish --platform linux/arm64 docker://registry.example/team/app:1
  image2ipfs publish --pin pins app.tar
  image2ipfs publish --from images.txt
  docker buildx build -o type=oci,dest=- . | image2ipfs publish -
  skopeo copy docker-daemon:app:1 oci:app:app:1 && image2ipfs publish app
  image2ipfs publish --json app.tar | jq -r .root.cidv1`,
		Args: usage(func(cmd *cobra.Command, args []string) error { return opts.checkArguments(args) }),
		RunE: func(cmd *cobra.Command, args []string) error { return runPublish(cmd, opts, args) },
	}
	opts.flags(cmd)
	cmd.Flags().StringVar(&opts.from, "from", "", "publish the sources in this file, one on each line, several at once; - is standard input")
	_ = cmd.MarkFlagFilename("from")
	cmd.Flags().StringSliceVar(&opts.gateways, "gateway", nil, "IPFS gateway to fetch ipfs://CID from; may be given several times (default: $"+gatewayEnv+")")
	opts.engines.flags(cmd.Flags(), "publish from")
	opts.pin.flag(cmd, "pin", "have this pinning service keep what is published, too, and wait until it does")
	cmd.Flags().StringSliceVar(&opts.platforms, "platform", nil, "platform to publish of an image in an engine or registry, such as linux/arm64; may be given several times (default: all that are there)")
	cmd.Flags().StringVar(&opts.tag, "tag", "", "the local name that the image gets, whatever that was before, such as app:1; for an archive of one image")
	return cmd
}

func newClient() *cobra.Command {
	opts := &publishOptions{}
	cmd := &cobra.Command{
		Use:   "client",
		Short: "Publish one archive from standard input, as image2ipfs without a subcommand does",
		Example: `  docker save app:1 | image2ipfs client -q -r my-gateway.local:8080
  image2ipfs client -i app.tar`,
		Args: usage(noArguments),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runPublish(cmd, opts, []string{opts.input})
		},
	}
	opts.clientFlags(cmd)
	return cmd
}

func (o *publishOptions) clientFlags(cmd *cobra.Command) {
	o.flags(cmd)
	cmd.Flags().StringVarP(&o.input, "input", "i", "-", "archive to publish; - is standard input")
	_ = cmd.MarkFlagFilename("input")
}

func (o *publishOptions) flags(cmd *cobra.Command) {
	o.storeFlags(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.registry, "registry", "r", "http://localhost:5000", "registry under which the images will be pulled")
	f.BoolVarP(&o.noAdd, "no-add", "n", false, "write the layout to a directory and print that; nothing goes to IPFS")
	f.StringVarP(&o.output, "output", "o", "", "directory for --no-add, new or empty (default: a temporary one)")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print pull names and failures only")
	f.BoolVarP(&o.debug, "debug", "d", false, "log what is done")
	f.BoolVar(&o.json, "json", false, "print one JSON object for each source")
	f.StringVar(&o.compression, "compression", string(layer.Gzip), "for layers that arrive uncompressed: gzip, zstd (not read by dockerd before 23), zstd:chunked (the same, and podman fetches changed files only, stargz-snapshotter those that are read) or none")
	f.IntVar(&o.level, "level", 0, "compression level, 1 (fast) to 9 (small) (default: 4 for gzip, 3 for zstd and zstd:chunked)")
	f.BoolVar(&o.recompress, "recompress", false, "compress layers that arrive compressed again, file by file: their updates get small, their digests change")
	f.BoolVar(&o.lazy, "lazy", false, "give gzip layers an index of their files, by which stargz-snapshotter starts containers before layers are there")
	_ = cmd.MarkFlagDirname("output")
	_ = cmd.RegisterFlagCompletionFunc("compression", cobra.FixedCompletions([]string{"gzip", "zstd", "zstd:chunked", "none"}, cobra.ShellCompDirectiveNoFileComp))
}

// opener opens a source when its turn has come.
type opener func(ctx context.Context) (*source.Source, error)

func runPublish(cmd *cobra.Command, o *publishOptions, inputs []string) error {
	wanted, err := parsePlatforms(o.platforms)
	if err == nil && o.from != "" {
		inputs, err = readList(cmd.Context(), o.from)
	}
	if err != nil {
		return err
	}
	var openers []opener
	stdin := false
	for _, input := range inputs {
		spec, err := source.Parse(input)
		if err == nil {
			err = checkInput(spec, stdin || o.from == "-")
		}
		if err == nil && spec.IsFile() && len(wanted) > 0 {
			err = usageError{fmt.Errorf("--platform is for images in engines and registries: %s is published as it is", input)}
		}
		if err != nil {
			return err
		}
		stdin = stdin || spec.IsStdin()
		openers = append(openers, func(ctx context.Context) (*source.Source, error) {
			if spec.IsStdin() {
				interruptible(ctx)
			}
			from := o.engines.source(wanted)
			from.Blocks = o.blocks
			return source.Open(ctx, spec, from)
		})
	}
	return o.publishAll(cmd, openers)
}

// blocks are those that ipfs://CID is read from.
func (o *publishOptions) blocks(ctx context.Context) (ipfs.Getter, func() error, error) {
	all, err := o.openAll(ctx)
	if err != nil {
		return nil, nil, err
	}
	from, err := (&sourceOptions{storeOptions: o.storeOptions, gateways: o.gateways}).blocks(all)
	if err != nil {
		return nil, nil, errors.Join(err, all.Close())
	}
	return ipfs.Verified(from), func() error { return errors.Join(from.Close(), all.Close()) }, nil
}

// check refuses options that cannot be, or not together, for so many sources, and says what
// not every engine reads.
func (o *publishOptions) check(cmd *cobra.Command, options layer.Options, sources int) error {
	if err := options.Validate(); err != nil {
		return usageError{err}
	}
	if o.recompress && options.Compression == layer.None {
		return usageError{errors.New("--recompress cannot be had with --compression none: choose gzip, zstd or zstd:chunked")}
	}
	if options.Compression.MediaType() == layer.Zstd.MediaType() {
		o.say(cmd, "layers will be compressed with zstd, which dockerd before 23 (20.10 among them) does not read\n")
	}
	if err := ref.CheckRegistry(o.registry); err != nil {
		return usageError{fmt.Errorf("-r: %w", err)}
	}
	if err := o.checkTag(sources); err != nil {
		return usageError{err}
	}
	if o.pin.name != "" && (o.noAdd || o.from != "") {
		return usageError{errors.New("--pin is for what goes to IPFS, source by source: it excludes -n and --from")}
	}
	if o.output != "" && !o.noAdd {
		return usageError{errors.New("-o needs -n: published images go to IPFS, not to a directory")}
	}
	if o.output != "" && sources > 1 {
		return usageError{fmt.Errorf("-o %s holds one layout: write the %d sources one by one", o.output, sources)}
	}
	return nil
}

func (o *publishOptions) publishAll(cmd *cobra.Command, openers []opener) (err error) {
	options := layer.Options{Compression: layer.Compression(o.compression), Level: o.level, Lazy: o.lazy}
	if err := o.check(cmd, options, len(openers)); err != nil {
		return err
	}
	if o.pin.name != "" { // before anything is published
		if _, _, err := o.pin.client(); err != nil {
			return err
		}
	}
	ctx, log := cmd.Context(), newLogger(cmd.ErrOrStderr(), o.debug)
	var store ipfs.Store
	if !o.noAdd {
		if store, err = o.open(ctx); err != nil {
			return err
		}
		closeNames, err := o.openNames(store)
		if err != nil {
			return errors.Join(err, store.Close())
		}
		defer closeNames()
		if k, ok := store.(*kubo.Store); ok && o.json { // who does not ask for numbers need not wait for them
			store = k.Counting()
		}
		defer func() { err = errors.Join(err, store.Close()) }()
	}
	if o.from != "" {
		return o.publishList(cmd, log, store, openers, options)
	}
	for _, open := range openers {
		done, err := o.publishOne(cmd, log, store, open, options)
		if err == nil {
			err = o.report(cmd, done, store)
		}
		if err == nil && o.pin.name != "" {
			_, err = o.pin.pin(cmd, done.Root, done.names(), o.quiet || o.json)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// done is what was published, and how it came.
type done struct {
	*publish.Result
	packed bool        // layers are as an engine keeps them
	named  local.Named // the local names that it got
}

func (o *publishOptions) publishOne(cmd *cobra.Command, log *slog.Logger, store ipfs.Store, open opener, options layer.Options) (done, error) {
	ctx := cmd.Context()
	a, err := open(ctx)
	if err != nil {
		return done{}, err
	}
	defer a.Close()
	if store != nil && o.from == "" {
		o.say(cmd, "publishing %s to %s\n", a, store)
	}
	progress := newProgress(cmd.ErrOrStderr(), a.String(), a.Size(), o.quiet || o.from != "")
	log.Debug("reading", "archive", a.String(), "bytes", a.Size())
	work := publish.Options{Compression: options, Recompress: o.recompress, Count: progress.add, Total: progress.expect}
	var r *publish.Result
	if o.noAdd {
		r, err = a.ToDirectory(ctx, o.output, work)
	} else {
		r, err = a.Publish(ctx, store, work)
	}
	progress.done()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return done{}, cause
		}
		if errors.Is(err, syscall.ENOSPC) && !o.noAdd {
			err = fmt.Errorf("%w; image2ipfs rm of what is not needed, and then image2ipfs gc, make room", err)
		}
		return done{}, err
	}
	var names local.Named
	if store != nil {
		if names, err = o.setNames(ctx, r); err != nil {
			if ctx.Err() != nil { // of which nothing but that is told
				fmt.Fprintln(cmd.ErrOrStderr(), err)
			}
			return done{}, err
		}
	}
	log.Debug("published", "format", r.Format, "root", r.Root.String(), "blocks", r.Stats.NewBlocks, "bytes", r.Stats.NewBytes)
	return done{r, a.Packed, names}, nil
}

// checkInput refuses a terminal as standard input, before anything is opened, and
// reading it twice.
func checkInput(spec source.Spec, again bool) error {
	if spec.IsStdin() && again {
		return usageError{errors.New("standard input can be read once only: - is there twice")}
	}
	if spec.IsStdin() && term.IsTerminal(int(os.Stdin.Fd())) {
		return usageError{errTerminal}
	}
	return nil
}

// errTerminal is about a command that was called without an archive.
var errTerminal = errors.New("standard input is a terminal: pipe an archive in, such as  docker save app:1 | image2ipfs  or name a file, such as  image2ipfs publish app.tar")

// interruptible gives standard input, of which Ctrl-C ends a read that waits for data.
func interruptible(ctx context.Context) *os.File {
	pollStdin()
	input.Interrupt(ctx, os.Stdin)
	return os.Stdin
}

func newLogger(w io.Writer, debug bool) *slog.Logger {
	if !debug {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// names are those of what was published, each once.
func (d done) names() (names []string) {
	for _, i := range d.Images {
		if i.Name != "" && !slices.Contains(names, i.Name) {
			names = append(names, i.Name)
		}
	}
	return names
}
