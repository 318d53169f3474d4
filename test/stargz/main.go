// Command stargz is stargz-snapshotter as containerd's proxy plugin, for tests. The
// program of that name, containerd-stargz-grpc, is in a module that is released
// together with this service and adds its flags and its configuration, which are read
// here as there, by the same library. This is a module of its own because of what it
// depends on.
//
//	stargz --address SOCKET --root ROOT [--config FILE] [--all]
//
// Unless told so by --all, it fetches what is read and nothing beside it, so that tests
// can tell what that was. It needs root, for its mounts, and ends with SIGTERM.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/contrib/snapshotservice"
	"github.com/containerd/stargz-snapshotter/service"
	"github.com/pelletier/go-toml"
	"google.golang.org/grpc"
)

func main() {
	address := flag.String("address", "/run/containerd-stargz-grpc/containerd-stargz-grpc.sock", "socket to listen at")
	root := flag.String("root", "/var/lib/containerd-stargz-grpc", "directory for what was fetched")
	file := flag.String("config", "", "configuration")
	all := flag.Bool("all", false, "fetch the rest in the background, unless the configuration says otherwise")
	flag.Parse()
	config, err := read(*file)
	if err == nil {
		if !*all {
			config.NoBackgroundFetch, config.NoPrefetch = true, true
		}
		config.NoPrometheus = true
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = serve(ctx, *address, *root, &config)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stargz:", err)
		os.Exit(1)
	}
}

// read reads a configuration; a file that is not there says nothing.
func read(file string) (config service.Config, err error) {
	if file == "" {
		return config, nil
	}
	tree, err := toml.LoadFile(file)
	if os.IsNotExist(err) {
		return config, nil
	}
	if err != nil {
		return config, err
	}
	return config, tree.Unmarshal(&config)
}

// serve answers on the socket until the context ends, and unmounts all.
func serve(ctx context.Context, socket, root string, config *service.Config) error {
	snapshotter, err := service.NewStargzSnapshotterService(ctx, root, config)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	snapshotsapi.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(snapshotter))
	context.AfterFunc(ctx, server.Stop)
	if err := server.Serve(listener); err != nil {
		return err
	}
	return snapshotter.Close()
}
