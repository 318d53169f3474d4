package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/identifiers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// Where containerd listens and keeps images unless told otherwise.
const (
	DefaultContainerd = "/run/containerd/containerd.sock"
	DefaultNamespace  = namespaces.Default
)

var containerdAdvice = advice{
	start:   "systemctl start containerd starts it",
	permit:  "use sudo",
	another: "--containerd-address",
}

// DialContainerd connects to the containerd whose socket is at address, for use in a
// namespace; empty means the defaults. The error matches [ErrNone] when none
// answers.
func DialContainerd(ctx context.Context, address, namespace string) (*client.Client, error) {
	if address == "" {
		address = DefaultContainerd
	}
	if namespace == "" {
		namespace = DefaultNamespace
	}
	if err := reach(ctx, "containerd", "unix://"+address, containerdAdvice); err != nil {
		return nil, err
	}
	if err := identifiers.Validate(namespace); err != nil {
		return nil, fmt.Errorf("namespace: %w", err)
	}
	c, err := client.New(address, client.WithTimeout(dialTimeout), client.WithDefaultNamespace(namespace))
	if err != nil {
		return nil, unreached("containerd", address, err, containerdAdvice)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if _, err := c.Version(ctx); err != nil {
		return nil, errors.Join(unreached("containerd", address, err, containerdAdvice), c.Close())
	}
	return c, nil
}
