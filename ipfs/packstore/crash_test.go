package packstore_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

const (
	crashPath      = "IMAGE2IPFS_TEST_CRASH"
	crashCachePath = "IMAGE2IPFS_TEST_CRASH_CACHE"
)

// TestMain lets the test binary be a process that a test kills, or that collects garbage.
func TestMain(m *testing.M) {
	for name, work := range map[string]func(path string) error{crashPath: busy, crashCachePath: fillCache, collectPath: collectOnce} {
		if path := os.Getenv(name); path != "" {
			if err := work(path); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// content is what busy publishes in a round: a layer of its own and two that
// others have.
func content(round string) map[string][]byte {
	var n int
	fmt.Sscan(round, &n)
	return map[string][]byte{
		"own":   storetest.Random(100<<10, round),
		"twin":  storetest.Random(200<<10, fmt.Sprint("twin", n/2)),
		"often": storetest.Random(100<<10, fmt.Sprint("often", n%3)),
	}
}

// busy publishes, removes and collects garbage until it is killed, and says
// what it has done.
func busy(path string) error {
	s, err := packstore.Open(path)
	if err != nil {
		return err
	}
	ctx := context.Background()
	start := rand.IntN(1 << 30)
	var last cid.Cid
	for n := start; ; n++ {
		c, err := storetest.TryPublish(ctx, s, content(fmt.Sprint(n)))
		if err != nil {
			return err
		}
		fmt.Println("published", c, n)
		if n%2 == 1 && last.Defined() {
			fmt.Println("removed", last)
			if err := s.Remove(ctx, last); err != nil {
				return err
			}
		}
		if n%3 == 0 {
			if _, err := s.GC(ctx, packstore.GCOptions{}); err != nil {
				return err
			}
		}
		last = c
	}
}

// What was reported as published must be there whenever the process dies, and
// the space of what was abandoned must come back.
func TestKilled(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	published := map[string]string{}
	for range 20 {
		runAndKill(t, path, published)
		s, err := packstore.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for name, round := range published {
			c, err := cid.Decode(name)
			if err != nil {
				t.Fatal(err)
			}
			storetest.Check(t, s, c, content(round))
		}
		if rand.IntN(3) == 0 {
			gc(t, s)
			wantFiles(t, s, "tmp", 0)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d publications were kept", len(published))
	s := open(t, path)
	roots, err := s.Roots(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range roots {
		remove(t, s, r.CID)
	}
	gc(t, s)
	if n := usage(t, s); n != 0 {
		t.Errorf("after everything was removed the store has %d bytes", n)
	}
}

// runAndKill lets busy work for a moment and notes what it has published and
// not begun to remove.
func runAndKill(t *testing.T, path string, published map[string]string) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashPath+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(time.Hour, func() {})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if f := strings.Fields(lines.Text()); f[0] == "published" {
			published[f[1]] = f[2]
		} else {
			delete(published, f[1])
		}
		if timer.Stop() { // the first line
			time.AfterFunc(time.Duration(rand.IntN(100))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		}
	}
	_ = cmd.Wait() // killed, as it should be
	if cmd.ProcessState.Exited() {
		t.Fatalf("the process has ended by itself: %v", cmd.ProcessState)
	}
}
