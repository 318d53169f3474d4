package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	benchstat = "golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da"
	count     = 8 // results of each commit
)

// measured are the packages with Go benchmarks.
var measured = []string{"./layer", "./publish", "./ipfs/packstore", "./server"}

// revision is one of the commits that are compared.
type revision struct {
	name    string
	tree    string // its files
	results string // file of what its benchmarks print
}

// compare runs the Go benchmarks of two commits in turns, so that what else the
// machine does meets both, and lets benchstat compare them.
func compare(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return errors.New("usage: bench compare REV1 REV2 [PACKAGE[=ITS NAME IN REV2]…]")
	}
	packages := args[2:]
	if len(packages) == 0 {
		packages = measured
	}
	dir, err := os.MkdirTemp("", "image2ipfs-compare-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var revisions []revision
	for i, name := range args[:2] {
		r := revision{name: name, tree: filepath.Join(dir, fmt.Sprint("tree", i)), results: filepath.Join(dir, fmt.Sprint("results", i))}
		if err := r.extract(ctx); err != nil {
			return fmt.Errorf("commit %s: %w", name, err)
		}
		revisions = append(revisions, r)
	}
	for _, p := range packages {
		first, second, renamed := strings.Cut(p, "=")
		if !renamed {
			second = first
		}
		names := []string{first, second}
		for i, r := range revisions {
			if err := passed(ctx, r.tree, nil, "go", "test", "-c", "-o", r.program(), names[i]); err != nil {
				return fmt.Errorf("%s of %s: %w", names[i], r.name, err)
			}
		}
		for n := range count {
			fmt.Fprintf(os.Stderr, "bench: %s, %d of %d\n", second, n+1, count)
			for i, r := range revisions {
				if err := r.benchmark(ctx, names[i], second); err != nil {
					return fmt.Errorf("%s of %s: %w", names[i], r.name, err)
				}
			}
		}
	}
	stat := []string{"go", "run", benchstat}
	for _, r := range revisions {
		stat = append(stat, r.name+"="+r.results)
	}
	return passed(ctx, ".", os.Stdout, stat...)
}

// extract writes the commit's files without touching the work tree.
func (r revision) extract(ctx context.Context) error {
	if err := os.Mkdir(r.tree, 0o755); err != nil {
		return err
	}
	archive := r.tree + ".tar"
	if err := passed(ctx, ".", nil, "git", "archive", "-o", archive, r.name); err != nil {
		return err
	}
	return passed(ctx, r.tree, nil, "tar", "-xf", archive)
}

func (r revision) program() string { return r.tree + ".test" }

// benchmark runs the benchmarks of a package once, in its directory; they are noted
// under the name that it has in the newer commit.
func (r revision) benchmark(ctx context.Context, pkg, name string) error {
	var printed bytes.Buffer
	err := passed(ctx, filepath.Join(r.tree, strings.TrimPrefix(pkg, "./")), &printed, r.program(), "-test.run", "^$", "-test.bench", ".")
	if err != nil {
		return err
	}
	noted := strings.ReplaceAll(printed.String(), strings.TrimPrefix(pkg, ".")+"\n", strings.TrimPrefix(name, ".")+"\n")
	out, err := os.OpenFile(r.results, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = out.WriteString(noted)
	return errors.Join(err, out.Close())
}

// passed runs a program in dir with its output in out.
func passed(ctx context.Context, dir string, out io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	if out != nil {
		cmd.Stdout = out
	}
	return cmd.Run()
}
