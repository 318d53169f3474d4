package backup_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/backup"
)

// Who writes into a file finds it whole, or what was there before.
func TestFile(t *testing.T) {
	s := open(t)
	kept(t, s)
	snap, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Release()
	c := backup.Contents{Roots: snap.Roots, Records: snap.Records}
	dir := t.TempDir()
	file, stats, err := backup.WriteFile(t.Context(), dir, snap, c, backup.Options{})
	if err != nil || filepath.Dir(file) != dir || !strings.HasPrefix(filepath.Base(file), "image2ipfs-20") || stats.Blocks == 0 {
		t.Fatal(file, stats, err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stop := backup.Options{Progress: func(int) { cancel() }}
	if _, _, err := backup.WriteFile(ctx, file, snap, c, stop); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	c.Roots = append(c.Roots, ipfs.Root{CID: cid.MustParse("bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"), Published: time.Now()})
	if _, _, err := backup.WriteFile(t.Context(), file, snap, c, backup.Options{}); !errors.Is(err, ipfs.ErrNotFound) || !strings.Contains(err.Error(), "bafkreifzjut") {
		t.Errorf("a block is missing: %v", err)
	}
	now, err := os.ReadFile(file)
	files, _ := os.ReadDir(dir)
	if err != nil || !bytes.Equal(now, whole) || len(files) != 1 {
		t.Errorf("after failures there are %v, %v", files, err)
	}
}

// Whoever copies twice in a second has two copies.
func TestTwiceInASecond(t *testing.T) {
	s := open(t)
	kept(t, s)
	snap, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Release()
	dir := t.TempDir()
	var made []string
	for range 4 { // at least two of which are in one second, unless each takes one
		file, _, err := backup.WriteFile(t.Context(), dir, snap, backup.Contents{Roots: snap.Roots}, backup.Options{})
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, filepath.Base(file))
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != len(made) {
		t.Errorf("%q were made, and there are %v, %v", made, files, err)
	}
	for _, f := range files {
		if !slices.Contains(made, f.Name()) {
			t.Errorf("%s was not told: %q", f.Name(), made)
		}
	}
}
