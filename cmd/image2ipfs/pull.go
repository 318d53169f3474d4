package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/sources"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/pull"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
	"github.com/image2ipfs/image2ipfs/registry/remote"
	"github.com/image2ipfs/image2ipfs/resolver"
	"github.com/image2ipfs/image2ipfs/trust"
)

// pullOptions are the flags of pull.
type pullOptions struct {
	sourceOptions
	to           string
	platforms    []string
	allPlatforms bool
	pin          bool
	quiet        bool
	json         bool
	engines      engineOptions
	snapshotter  string
	keys         []string
	policy       *trust.Policy // nil when nothing has to be signed
}

func newPull() *cobra.Command {
	opts := &pullOptions{}
	cmd := &cobra.Command{
		Use:   "pull NAME",
		Short: "Bring an image into an engine, a layout or an archive, every byte checked",
		Long: `Fetch a published image from the own store, Kubo, peers or IPFS gateways, none of
which is trusted, and bring it to a target:

  docker                dockerd, of either image store; named ciq…/app:tag
  containerd            containerd, unpacked; named docker.io/ciq…/app:tag
  podman                podman, by its service; named docker.io/ciq…/app:tag
  docker://HOST/NAME    a registry: all platforms, signatures, SBOMs and whatever
                        else refers to the image, by the same digests
  oci:DIR               an OCI layout
  oci-archive:FILE      an OCI layout in a tar
  docker-archive:FILE   what docker load of every version reads
  -                     the same on standard output

A name with a CID is looked for everywhere; one without, such as app:1, means what
was published under it here last. One that moves (k51…/app:1, or a domain that
--dnslink names) means what its owner says now: the root that was found is told.

With --require-signature nothing is taken but what is signed by that key, as
image2ipfs verify --key checks it, and what that leads to: of an index that is signed
all platforms, and not what others have put beside it. With --pin all that is under
the CID has to be signed.

Without --to the image goes to the engine of this machine, when there is only
one. A CID that is a single docker-archive file on IPFS is pulled too, into
dockerd or a docker archive.`,
		Example: `  image2ipfs pull ciqddxseacsddleyizojmahrh2uaq7ujnplse6r6mylurgu4bfodrmi/app
  image2ipfs pull --to containerd --namespace k8s.io app:1
  image2ipfs pull --mdns ciqddxseacsddleyizojmahrh2uaq7ujnplse6r6mylurgu4bfodrmi/app
  image2ipfs pull --require-signature cosign.pub app:1
  image2ipfs pull --to docker://registry.example/team/app:1 app:1
  image2ipfs pull --to - --gateway http://gateway.local:8080 app:1 | docker load`,
		Args:              usage(exactly(1)),
		ValidArgsFunction: completeNames(&opts.storeOptions),
		RunE:              func(cmd *cobra.Command, args []string) error { return opts.run(cmd, args[0]) },
	}
	opts.sourceFlags(cmd)
	opts.peers.flags(cmd.Flags())
	f := cmd.Flags()
	opts.moving.flags(f)
	f.StringVar(&opts.to, "to", "", "target (default: the only engine on this machine)")
	f.StringSliceVar(&opts.platforms, "platform", nil, "platform to pull, such as linux/arm64 (default: this machine's for engines and docker archives, all for layouts)")
	f.BoolVar(&opts.allPlatforms, "all-platforms", false, "pull all platforms")
	f.BoolVar(&opts.pin, "pin", false, "keep the image in the own store as well, so that this machine serves it on")
	f.BoolVarP(&opts.quiet, "quiet", "q", false, "print nothing but the name in the engine")
	f.BoolVar(&opts.json, "json", false, "print a JSON object")
	signedFlags(f, &opts.keys, "take")
	opts.engines.flags(f, "pull into")
	f.StringVar(&opts.snapshotter, "snapshotter", "", "containerd snapshotter (default: containerd's)")
	_ = cmd.RegisterFlagCompletionFunc("to", cobra.FixedCompletions([]string{"docker", "containerd", "podman", "docker://", "oci:", "oci-archive:", "docker-archive:", "-"}, cobra.ShellCompDirectiveNoSpace))
	return cmd
}

// pulled is the JSON form of what was pulled.
type pulled struct {
	Root   ref.Spellings `json:"root"`
	Target string        `json:"target"`
	Name   string        `json:"name,omitempty"` // in the engine
	Digest digest.Digest `json:"digest,omitempty"`
	Size   int64         `json:"size"`
	Absent []string      `json:"absent,omitempty"`
}

func (o *pullOptions) run(cmd *cobra.Command, arg string) (err error) {
	ctx := cmd.Context()
	if o.allPlatforms && len(o.platforms) > 0 {
		return usageError{errors.New("--platform and --all-platforms exclude each other")}
	}
	if o.json && o.to == "-" {
		return usageError{errors.New("standard output takes the archive or the JSON: name a file with --to docker-archive:FILE")}
	}
	if o.policy, err = policyOf(ctx, o.keys); err != nil {
		return err
	}
	all, err := o.openAll(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	name, moves := o.moving.parse(arg)
	if !moves {
		if name, err = all.Find(ctx, arg); err != nil {
			return err
		}
	}
	to, err := o.target(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	from, leave, err := o.fetching(cmd, all)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leave()) }()
	if moves {
		if name, err = o.findMoving(cmd, all, name, o.quiet || o.json); err != nil {
			return err
		}
	}
	done, err := o.pull(cmd, all, name, from, to)
	if err != nil {
		return err
	}
	return o.report(cmd, to, done)
}

// target reads --to.
func (o *pullOptions) target(cmd *cobra.Command) (pull.Target, error) {
	ctx := cmd.Context()
	kind, path, _ := strings.Cut(o.to, ":")
	if err := o.fits(cmd, kind); err != nil {
		return nil, err
	}
	switch {
	case o.to == "":
		to, err := pull.Find(ctx, o.engines.docker, o.containerd())
		return to, engineError(ctx, err)
	case o.to == "docker":
		to, err := pull.DialDocker(ctx, o.engines.docker)
		return to, engineError(ctx, err)
	case o.to == "containerd":
		to, err := pull.DialContainerd(ctx, o.containerd())
		return to, engineError(ctx, err)
	case o.to == "podman":
		to, err := pull.DialPodman(ctx, o.engines.podman)
		return to, engineError(ctx, err)
	case kind == "docker" && strings.HasPrefix(path, "//"):
		warn := func(text string) { fmt.Fprintf(cmd.ErrOrStderr(), "the registry says: %s\n", oci.Quoted(text)) }
		return pull.DialRegistry(ctx, path[2:], remote.Options{Warn: warn})
	case o.to == "-":
		if term.IsTerminal(int(os.Stdout.Fd())) {
			return nil, usageError{errors.New("standard output is a terminal: pipe it to docker load, or name a file with --to docker-archive:FILE")}
		}
		return pull.Archive{Path: "-", Docker: true}, nil
	case kind == "oci" && path != "":
		return pull.Directory(path), nil
	case (kind == "oci-archive" || kind == "docker-archive") && path != "":
		return pull.Archive{Path: path, Docker: kind == "docker-archive"}, nil
	}
	return nil, usageError{fmt.Errorf("target %q: want docker, containerd, podman, docker://HOST/NAME, oci:DIR, oci-archive:FILE, docker-archive:FILE or -", o.to)}
}

func (o *pullOptions) containerd() pull.ContainerdOptions {
	return pull.ContainerdOptions{Address: o.engines.containerd, Namespace: o.engines.namespace, Snapshotter: o.snapshotter}
}

// fits refuses flags of one engine beside another target.
func (o *pullOptions) fits(cmd *cobra.Command, kind string) error {
	for flag, target := range map[string]string{
		"docker-host": "docker", "podman-host": "podman", "containerd-address": "containerd", "namespace": "containerd", "snapshotter": "containerd",
	} {
		if o.to != "" && kind != target && cmd.Flags().Changed(flag) {
			return usageError{fmt.Errorf("--%s is for --to %s", flag, target)}
		}
	}
	return nil
}

// engineError tells engines that do not answer from addresses that make no
// sense.
func engineError(ctx context.Context, err error) error {
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case errors.Is(err, pull.ErrNoEngine):
		return fmt.Errorf("%w\nWithout an engine: pull --to oci:DIR, oci-archive:FILE or docker-archive:FILE", err)
	}
	return usageError{err}
}

func (o *pullOptions) pull(cmd *cobra.Command, all stores, name ref.Name, from *sources.Set, to pull.Target) (pulled, error) {
	ctx := cmd.Context()
	out := pulled{Root: ref.Spell(name.Root), Target: to.String()}
	l, err := layout.Open(ctx, from, name.Root)
	if errors.Is(err, ipfs.ErrNotFound) {
		if file, noFile := pull.OpenFile(ctx, from, name.Root); noFile == nil {
			out.Size = file.Size
			return out, o.pullFile(ctx, name, file, to)
		}
	}
	if errors.Is(err, ipfs.ErrNoLayout) {
		err = fmt.Errorf("%w; if an image2ipfs before 0.2.0 published it, pull it from `image2ipfs serve`, or make a layout of it with `image2ipfs convert %s`", err, ref.Ciq(name.Root))
	}
	if err != nil {
		return out, o.unfound(all, name, err)
	}
	wanted, err := o.wanted()
	if err != nil {
		return out, err
	}
	job, err := pull.Prepare(ctx, l, name, to, wanted)
	if errors.Is(err, trust.ErrUntrusted) && name.Moving != "" {
		err = fmt.Errorf("%s has moved to %s, which is refused; what was pulled before stays as it is: %w", name.Moving, ref.Ciq(name.Root), err)
	}
	if err != nil {
		return out, err
	}
	if o.pin {
		if err := job.Image.RequireWhole(ctx); errors.Is(err, trust.ErrUntrusted) {
			return out, fmt.Errorf("--pin keeps all that is under %s, and not all of it is signed: pull it without --pin, or keep it, signed or not, with image2ipfs pin add: %w", ref.Ciq(name.Root), err)
		} else if err != nil {
			return out, err
		}
		if _, err := keep(cmd, all, from, l, o.quiet || o.json); err != nil {
			return out, err
		}
	}
	image := job.Image
	bar := newProgress(cmd.ErrOrStderr(), ref.Ciq(name.Root), image.Size(), o.quiet || o.json)
	defer bar.done()
	r := resolver.New(resolver.WithSources(from), resolver.WithProgress(bar.add), resolver.WithNames(ipfs.Meant(name)), resolver.WithPolicy(o.policy))
	job.Resolver, job.Progress = r, pull.Progress{Event: bar.line, Bytes: bar.add}
	out.Name, err = to.Pull(ctx, job)
	if _, resumes := to.(pull.Directory); resumes && ctx.Err() != nil {
		bar.line("what has arrived stays in the " + to.String() + ": the same pull goes on from there")
	}
	out.Digest, out.Size, out.Absent = image.Target.Digest, image.Size(), image.Absent
	return out, errors.Join(err, r.Close())
}

// wanted reads --platform and --all-platforms.
func (o *pullOptions) wanted() (pull.Wanted, error) {
	wanted, err := parsePlatforms(o.platforms)
	return pull.Wanted{All: o.allPlatforms, Platforms: wanted, Signed: o.policy}, err
}

// pullFile brings a docker archive that is one file on IPFS to its target.
func (o *pullOptions) pullFile(ctx context.Context, name ref.Name, file *pull.File, to pull.Target) error {
	if o.pin || len(o.platforms) > 0 || o.allPlatforms {
		return usageError{fmt.Errorf("%s is one file, not an image layout: --pin, --platform and --all-platforms are for layouts", ref.Ciq(name.Root))}
	}
	if o.policy != nil {
		return fmt.Errorf("%w: %s is one file, not an image layout, and has no signatures", trust.ErrUntrusted, ref.Ciq(name.Root))
	}
	return file.To(ctx, to)
}

func (o *pullOptions) report(cmd *cobra.Command, to pull.Target, p pulled) error {
	if o.json {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(p)
	}
	if !o.quiet {
		tellAbsent(cmd, p.Absent)
		all := "all"
		if len(p.Absent) > 0 {
			all = "the other"
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "the %s has %s %s of it\n", to, all, oci.BytesText(p.Size))
	}
	if p.Name != "" {
		fmt.Fprintln(cmd.OutOrStdout(), p.Name)
	}
	return nil
}

// tellAbsent says what an image names and its layout lacks.
func tellAbsent(cmd *cobra.Command, absent []string) {
	firstOf(absent, func(what string) { fmt.Fprintf(cmd.ErrOrStderr(), "not in the layout: %s\n", what) })
}
