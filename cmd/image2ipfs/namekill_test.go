//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs/names"
)

// Who is killed while he moves a name leaves it as it was, or moved: it means something
// always, and its sequence never goes back.
func TestNamePublishIsKilled(t *testing.T) {
	dir := backupStore(t)
	root := strings.TrimSpace(mustRun(t, onStore(t, dir, "ls", "-q")))
	name := strings.TrimSpace(mustRun(t, onStore(t, dir, "name", "create", "app")))
	mustRun(t, onStore(t, dir, "name", "publish", "app", root))
	state := filepath.Join(names.Dir(dir), "seen", name+".json")
	last := uint64(1)
	for i := range 6 {
		before, err := os.Stat(state)
		if err != nil {
			t.Fatal(err)
		}
		cmd := onStore(t, dir, "name", "publish", "app", root)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }() // it is killed
		for writing := false; !writing; {
			select {
			case <-ended:
				writing = true
			default:
				files, err := os.ReadDir(filepath.Dir(state))
				if err != nil {
					t.Fatal(err)
				}
				now, err := os.Stat(state)
				writing = len(files) > 1 || err != nil || !os.SameFile(now, before)
			}
		}
		time.Sleep(time.Duration(i%3) * time.Millisecond)
		_ = cmd.Process.Kill() // it may have ended
		<-ended
		owned, err := names.NewStore(names.Dir(dir)).Owned()
		if err != nil || len(owned) != 1 || !owned[0].Root.Defined() || owned[0].Sequence < last || owned[0].Sequence > last+1 || owned[0].Stopped != "" {
			t.Fatalf("after it was killed for the %d. time: %+v, %v; its sequence was %d", i+1, owned, err, last)
		}
		last = owned[0].Sequence
	}
	mustRun(t, onStore(t, dir, "name", "publish", "app", root))
	if owned, err := names.NewStore(names.Dir(dir)).Owned(); err != nil || len(owned) != 1 || owned[0].Sequence != last+1 {
		t.Errorf("it moves no further: %+v, %v", owned, err)
	}
}
