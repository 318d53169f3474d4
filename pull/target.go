package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/engine"
	"github.com/image2ipfs/image2ipfs/internal/output"
)

// Job is one pull.
type Job struct {
	Image     *Image
	Resolver  remotes.Resolver   // the same, for containerd
	Platforms []ocispec.Platform // for engines; all, or the engine's choice, when empty
	Progress  Progress
}

// Target is where images are pulled to.
type Target interface {
	// String names the target for humans.
	String() string
	// Choose tells what the target takes of the platforms that are asked for. The
	// error matches [ErrTarget].
	Choose(w Wanted) (Choice, error)
	// Pull brings the image there and gives the name that it has there, if any.
	Pull(ctx context.Context, j Job) (name string, err error)
	// Close ends the connection.
	Close() error
}

// Directory is an OCI layout in a directory.
type Directory string

func (d Directory) String() string { return "OCI layout in " + string(d) }

// Pull implements [Target] by [Image.ToDirectory].
func (d Directory) Pull(ctx context.Context, j Job) (string, error) {
	return "", j.Image.ToDirectory(ctx, string(d), j.Progress)
}

// Close implements [Target].
func (Directory) Close() error { return nil }

// Archive is a tar with an OCI layout.
type Archive struct {
	Path   string // "-" is standard output
	Docker bool   // docker load of every version is to read it
}

func (a Archive) String() string {
	if a.Path == "-" {
		return "archive on standard output"
	}
	return "archive " + a.Path
}

// Pull implements [Target] by [Image.ToTar]. A file appears when it is complete.
func (a Archive) Pull(ctx context.Context, j Job) (string, error) {
	return "", a.Write(ctx, func(w io.Writer) error { return j.Image.ToTar(ctx, w, j.Progress) })
}

// Write lets fn write the archive. What is there and no regular file, such as a
// named pipe or a device, is written to as it is. When ctx ends, so does waiting for
// somebody who reads.
func (a Archive) Write(ctx context.Context, fn func(w io.Writer) error) error {
	if a.Path == "-" {
		return fn(output.Until(ctx, os.Stdout))
	}
	if info, err := os.Stat(a.Path); err == nil && info.IsDir() {
		return fmt.Errorf("%w: %s is a directory: name a file", ErrTarget, a.Path)
	}
	if is, err := output.Special(ctx, a.Path, fn); is {
		return err
	}
	return writeFile(output.Real(a.Path), fn)
}

// Close implements [Target].
func (Archive) Close() error { return nil }

// ErrNoEngine is matched by errors about container engines that do not answer.
var ErrNoEngine = engine.ErrNone

// Find gives the only engine that answers on this machine. The error names
// those found when there are several, and matches [ErrNoEngine] when there is
// none.
func Find(ctx context.Context, dockerHost string, opts ContainerdOptions) (Target, error) {
	var found []Target
	d, noDocker := DialDocker(ctx, dockerHost)
	if noDocker == nil {
		found = append(found, d)
	}
	c, noContainerd := DialContainerd(ctx, opts)
	if noContainerd == nil {
		found = append(found, c)
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, fmt.Errorf("%w; %w", noDocker, noContainerd)
	}
	var names []string
	var errs []error
	for _, t := range found {
		names = append(names, t.String())
		errs = append(errs, t.Close())
	}
	return nil, errors.Join(append(errs, fmt.Errorf("several engines are here: %s; choose with --to docker or --to containerd", strings.Join(names, "; ")))...)
}
