package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs/kubo"
	"github.com/image2ipfs/image2ipfs/ipfs/names"
	"github.com/image2ipfs/image2ipfs/ipfs/network"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/setup"
	"github.com/image2ipfs/image2ipfs/setup/doctor"
)

// doctorOptions are the flags of doctor.
type doctorOptions struct {
	storeOptions
	doctor.Options
	gateways []string
	podman   string
	nerdctl  string
	image    string
	asJSON   bool
}

func newDoctor() *cobra.Command {
	opts := &doctorOptions{}
	cmd := &cobra.Command{
		Use:   "doctor [ENGINE]...",
		Short: "Find out whether publishing, serving and pulling work here",
		Long: `Check the store, the server, IPFS gateways, Kubo when it is asked for, and every
container engine that is found, or only those named (docker, containerd, nerdctl,
podman, k3s, rke2, microk8s, k0s). A tiny image is published, served, and pulled by each engine under a
ciq… name without a host; then it is removed again everywhere. Each engine is also asked for an ordinary name, one
that nobody has: such a name has to go on from the server to docker.io. Nothing is fetched for it; dockerd and CRI
ask docker.io themselves, in its place a stand-in of doctor's answers podman, nerdctl and containerd's client, and
where docker.io cannot be reached doctor says so, which is no problem. Of stargz-snapshotter (stargz) it says whether it
listens, containerd knows it and its configuration leads here. With --image it also says who has that image.

For each problem it says what to do. The exit code is 0 when all that is there
works, and 1 when there is a problem.`,
		Example: `  image2ipfs doctor
  sudo image2ipfs doctor docker containerd
  image2ipfs doctor --json | jq -r '.checks[] | select(.status == "problem") | .next'`,
		ValidArgs: setup.Engines,
		Args:      usage(cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Engines = args
			return opts.run(cmd)
		},
	}
	opts.storeFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&opts.Server, "server", setup.DefaultServer, "image2ipfs server, as setup was told")
	f.StringSliceVar(&opts.gateways, "gateway", nil, "IPFS gateway to check; may be given several times (default: $"+gatewayEnv+")")
	f.StringSliceVar(&opts.Docker, "docker", nil, "dockerd to check, such as unix:///var/run/docker.sock (default: $DOCKER_HOST, or those that are there)")
	f.StringSliceVar(&opts.Containerd, "containerd", nil, "socket of the containerd to check (default: those that are there)")
	f.StringVar(&opts.HostsDir, "hosts-dir", "", "certs.d of containerd (default: what its configuration says)")
	f.StringVar(&opts.podman, "podman", "", "command to run podman by (default: podman, when it is on the PATH)")
	f.StringVar(&opts.nerdctl, "nerdctl", "", "command to run nerdctl by (default: nerdctl, when it is on the PATH)")
	f.StringVar(&opts.image, "image", "", "also find out who has this image, as image2ipfs where does")
	f.DurationVar(&opts.Timeout, "timeout", time.Minute, "limit for each engine")
	f.BoolVar(&opts.asJSON, "json", false, "print a JSON object")
	return cmd
}

// errProblems tells that doctor has found something.
var errProblems = errors.New("not everything works; see what to do above")

// examined is the JSON form of all checks.
type examined struct {
	OK     bool           `json:"ok"`
	Checks []doctor.Check `json:"checks"`
}

func (o *doctorOptions) run(cmd *cobra.Command) (err error) {
	if o.Timeout <= 0 {
		return usageError{fmt.Errorf("--timeout %s: want a time such as 1m", o.Timeout)}
	}
	o.Server = ref.RegistryURL(o.Server)
	o.Podman, o.Nerdctl = strings.Fields(o.podman), strings.Fields(o.nerdctl)
	checks := []doctor.Check{}
	report := func(c doctor.Check) {
		checks = append(checks, c)
		if !o.asJSON {
			printCheck(cmd, c)
		}
	}
	err = o.examine(cmd.Context(), report)
	ok := err == nil && !slices.ContainsFunc(checks, func(c doctor.Check) bool { return c.Status == doctor.Problem || c.Status == doctor.Skipped })
	if o.asJSON {
		err = errors.Join(err, json.NewEncoder(cmd.OutOrStdout()).Encode(examined{ok, checks}))
	}
	if err == nil && !ok {
		err = errProblems
	}
	return err
}

// examine does all checks in the order in which they depend on each other.
func (o *doctorOptions) examine(ctx context.Context, report func(doctor.Check)) (err error) {
	probe, check, closeStore := o.store(ctx)
	defer func() { err = errors.Join(err, closeStore()) }()
	report(check)
	if check, damaged := checkKeys(); damaged {
		report(check)
	}
	if k, err := o.kubo(ctx); err != nil {
		next := "ipfs daemon   # or leave --api, IPFS_API and IPFS_PATH out"
		if errors.Is(err, kubo.ErrDenied) {
			next = "image2ipfs doctor --api-auth @FILE   # with bearer:TOKEN or basic:USER:PASSWORD in it, as in Kubo's API.Authorizations; or IPFS_API_AUTH"
		}
		report(doctor.Check{Name: "kubo", Status: doctor.Problem, Detail: err.Error(), Next: next})
	} else if k != nil {
		check, remove := o.inKubo(ctx, k)
		report(check)
		defer func() { err = errors.Join(err, remove(), k.Close()) }()
	}
	for _, g := range gatewayURLs(o.gateways) {
		report(doctor.Gateway(ctx, g))
	}
	if check, running := o.peers(ctx); running {
		report(check)
	}
	if o.image != "" {
		report(o.whereImage(ctx))
	}
	check = doctor.Server(ctx, o.Server, probe)
	report(check)
	if check.Status != doctor.OK {
		doctor.Engines(ctx, o.Options, nil, report)
	} else {
		doctor.Engines(ctx, o.Options, probe, report)
	}
	return ctx.Err()
}

// inKubo publishes the probe into Kubo, too: so its gateway has it, and a server that
// uses Kubo sends engines there for blobs. The function removes it again.
func (o *doctorOptions) inKubo(ctx context.Context, k *kubo.Store) (doctor.Check, func() error) {
	probe, err := doctor.Publish(ctx, k)
	if err != nil {
		return doctor.Check{Name: k.String(), Status: doctor.Problem, Detail: "answers, and takes no image: " + err.Error(), Next: "see Kubo's log"}, func() error { return nil }
	}
	return doctor.Check{Name: k.String(), Status: doctor.OK, Detail: "answers and takes images"}, func() error { return probe.Remove(ctx) }
}

// peers has the server on this store get a block of each of its peers; running is
// false when none runs with peers.
func (o *doctorOptions) peers(ctx context.Context) (check doctor.Check, running bool) {
	path, err := packstore.DefaultPath()
	if err != nil {
		return check, false
	}
	connected, err := network.Peers(ctx, path)
	who := ""
	if err == nil {
		who, err = network.FetchesFor(ctx, path)
	}
	if err != nil {
		return check, false
	}
	trials, ok, err := network.Try(ctx, path)
	if err != nil {
		return doctor.Check{Name: "peers", Status: doctor.Problem, Detail: err.Error(), Next: "see the server's log"}, true
	}
	check = doctor.Check{Name: "peers", Status: doctor.OK, Detail: fmt.Sprintf("%d connected; %s", len(connected), fetchesText(who))}
	text, gave, failed := network.Outcome(trials)
	if text != "" {
		check.Detail += "; " + text
	}
	switch {
	case !ok: // fetchesText says that the server is of an older version
	case len(trials) == 0:
		check.Status = doctor.Absent
	case failed && !gave:
		check.Status, check.Next = doctor.Problem, "see that machine and the way to it (a firewall, its serve --peers or --mdns, the same --swarm-key); image2ipfs peers lists who is connected"
	}
	return check, true
}

// store checks the store and publishes the probe there; the function removes it
// again.
func (o *doctorOptions) store(ctx context.Context) (*doctor.Probe, doctor.Check, func() error) {
	nothing := func() error { return nil }
	path, err := packstore.DefaultPath()
	if err != nil {
		return nil, doctor.Check{Name: "store", Status: doctor.Problem, Detail: err.Error(), Next: "set IMAGE2IPFS_PATH"}, nothing
	}
	store, err := packstore.Open(path)
	if err != nil {
		return nil, doctor.Check{Name: "store " + path, Status: doctor.Problem, Detail: err.Error(), Next: "run it as the store's owner, or choose another store with IMAGE2IPFS_PATH"}, nothing
	}
	probe, check := doctor.Store(ctx, store, path)
	if foreign, err := store.Foreign(); err == nil && len(foreign) > 0 && check.Status == doctor.OK {
		check.Detail += "; passed over " + foreignText(foreign)
	}
	return probe, check, func() error {
		var err error
		if probe != nil {
			err = probe.Remove(ctx)
		}
		return errors.Join(err, store.Close())
	}
}

// checkKeys checks the keys of names that move; damaged is false when all can be read.
func checkKeys() (check doctor.Check, damaged bool) {
	path, err := packstore.DefaultPath()
	if err != nil {
		return check, false // said of the store
	}
	all, err := names.NewStore(names.Dir(path)).Damaged()
	all = append(all, err)
	if err := errors.Join(all...); err != nil {
		return doctor.Check{
			Name: "names", Status: doctor.Problem, Detail: strings.ReplaceAll(err.Error(), "\n", "; "),
			Next: "put a copy of the key in its place (image2ipfs name export had one written), or remove the file; the other names are published all the same",
		}, true
	}
	return check, false
}

func printCheck(cmd *cobra.Command, c doctor.Check) {
	mark := map[string]string{doctor.OK: "ok       ", doctor.Problem: "PROBLEM  ", doctor.Skipped: "skipped  ", doctor.Absent: "absent   "}[c.Status]
	fmt.Fprintf(cmd.OutOrStdout(), "%s%s: %s\n", mark, c.Name, c.Detail)
	if c.Next != "" {
		fmt.Fprintf(cmd.OutOrStdout(), "         -> %s\n", c.Next)
	}
}
