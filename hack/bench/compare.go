package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	benchstat = "golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da"
	count     = "8"
)

// packages have the Go benchmarks.
var packages = []string{"./layer", "./publish", "./ipfs/node", "./server"}

// compare runs the Go benchmarks of two commits, in turns, and lets benchstat
// compare them.
func compare(ctx context.Context, revisions []string) error {
	if len(revisions) != 2 {
		return errors.New("usage: bench compare REV1 REV2")
	}
	dir, err := os.MkdirTemp("", "image2ipfs-compare-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var trees, results []string
	for i, rev := range revisions {
		tree := filepath.Join(dir, fmt.Sprint("tree", i))
		if err := passed(ctx, ".", nil, "git", "worktree", "add", "--detach", tree, rev); err != nil {
			return err
		}
		defer func() { _ = exec.Command("git", "worktree", "remove", "--force", tree).Run() }()
		trees, results = append(trees, tree), append(results, filepath.Join(dir, strings.ReplaceAll(rev, "/", "-")))
	}
	for _, p := range packages {
		for i, tree := range trees {
			out, err := os.OpenFile(results[i], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
			if err != nil {
				return err
			}
			err = passed(ctx, tree, out, "go", "test", "-run", "^$", "-bench", ".", "-count", count, p)
			if err := errors.Join(err, out.Close()); err != nil {
				return fmt.Errorf("%s of %s: %w", p, revisions[i], err)
			}
		}
	}
	return passed(ctx, ".", os.Stdout, append([]string{"go", "run", benchstat}, results...)...)
}

// passed runs a program in dir with its output in out.
func passed(ctx context.Context, dir string, out *os.File, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	if out != nil {
		cmd.Stdout = out
	}
	return cmd.Run()
}
