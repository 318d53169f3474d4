// Command stargz is stargz-snapshotter as containerd's proxy plugin, for tests:
// it fetches what is read and nothing beside it, so that they can tell what that
// was. The program of that name, containerd-stargz-grpc, is in a module that is
// released together with this service and adds its configuration. This is a
// module of its own because of what it depends on.
//
//	stargz SOCKET ROOT
//
// It needs root, for its mounts, and ends with SIGTERM.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/contrib/snapshotservice"
	"github.com/containerd/stargz-snapshotter/service"
	"google.golang.org/grpc"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: stargz SOCKET ROOT")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "stargz:", err)
		stop()
		os.Exit(1)
	}
}

// serve answers on the socket until the context ends, and unmounts all.
func serve(ctx context.Context, socket, root string) error {
	var config service.Config
	config.NoBackgroundFetch, config.NoPrefetch, config.NoPrometheus = true, true, true
	snapshotter, err := service.NewStargzSnapshotterService(ctx, root, &config)
	if err != nil {
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
