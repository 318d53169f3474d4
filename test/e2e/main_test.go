//go:build e2e

// Where the tests begin and end: what they were given, what they left out, and
// the table of what was really pulled.

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/image2ipfs/image2ipfs/test/process"
)

// patience is how long any one command or condition may take.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	code := m.Run()
	results.print(os.Stdout)
	os.Exit(code)
}

// strict tells whether what is missing makes the tests fail.
func strict() bool { return os.Getenv("CI") == "true" || os.Getenv("STRICT") == "1" }

// missing leaves something out and says so, or fails where nothing may be.
func missing(t *testing.T, what, why string) {
	t.Helper()
	results.leaveOut(what, why)
	if strict() {
		t.Errorf("%s: %s", what, why)
	}
}

// extra is a program that takes long to build, so that `make test-all` alone does;
// where it is not there the test is skipped.
func extra(t *testing.T, name string) command {
	t.Helper()
	c := commandFor(name)
	if c != nil {
		return c
	}
	results.leaveOut(name, "hack/engines.sh extras builds it, for make test-all")
	if thorough() {
		t.Fatalf("%s is not there: hack/engines.sh extras builds it", name)
	}
	t.Skipf("%s is not there: hack/engines.sh extras builds it, for make test-all", name)
	return nil
}

// workDir is the work directory of hack/engines.sh.
func workDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("IMAGE2IPFS_E2E")
	if dir == "" {
		t.Fatal("IMAGE2IPFS_E2E is not set; run the tests with hack/e2e.sh")
	}
	return dir
}

// archivePath is where hack/images.sh leaves an archive.
func archivePath(t *testing.T, file string) string {
	return filepath.Join(workDir(t), "archives", file)
}

// deadline is a context for one step of a test.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually polls until the condition holds; the error it last gave is the
// reason when it never does.
func eventually(t *testing.T, what string, condition func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := process.Await(ctx, condition); err != nil {
		t.Fatal(fmt.Errorf("%s: not within %v: %w", what, patience, err))
	}
}
