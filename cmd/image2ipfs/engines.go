package main

import (
	"fmt"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/image2ipfs/image2ipfs/engine"
	"github.com/image2ipfs/image2ipfs/source"
)

// engineOptions say where container engines are.
type engineOptions struct {
	docker     string
	podman     string
	containerd string
	namespace  string
}

// flags are those of a command that does something with engines: "pull into".
func (o *engineOptions) flags(f *pflag.FlagSet, does string) {
	f.StringVar(&o.docker, "docker-host", "", "dockerd to "+does+" (default: $DOCKER_HOST)")
	f.StringVar(&o.podman, "podman-host", "", "podman's service to "+does+" (default: $CONTAINER_HOST, or the user's or the machine's socket)")
	f.StringVar(&o.containerd, "containerd-address", engine.DefaultContainerd, "containerd to "+does)
	f.StringVar(&o.namespace, "namespace", engine.DefaultNamespace, "containerd namespace")
}

// source are the options of what is published.
func (o *engineOptions) source(wanted []ocispec.Platform) source.Options {
	return source.Options{DockerHost: o.docker, PodmanHost: o.podman, Containerd: o.containerd, Namespace: o.namespace, Platforms: wanted}
}

// parsePlatforms reads what --platform gave.
func parsePlatforms(texts []string) ([]ocispec.Platform, error) {
	var all []ocispec.Platform
	for _, text := range texts {
		p, err := platforms.Parse(text)
		if err != nil {
			return nil, usageError{fmt.Errorf("--platform: %w", err)}
		}
		all = append(all, p)
	}
	return all, nil
}
