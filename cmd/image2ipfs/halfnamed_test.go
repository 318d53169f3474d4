package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/layer"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/source"
)

// cutOff is a store during whose first commit of names somebody presses Ctrl-C.
type cutOff struct {
	ipfs.Recorder
	press func()
}

func (c *cutOff) BeginRecords(ctx context.Context) (ipfs.RecordTx, error) {
	c.press()
	return nil, ctx.Err()
}

// Who interrupts a publication when its names are set is told that it is published, and
// what makes up for the names.
func TestInterruptedWhileNamesAreSet(t *testing.T) {
	t.Setenv("IMAGE2IPFS_PATH", filepath.Join(t.TempDir(), "store"))
	file := filepath.Join(t.TempDir(), "app.tar")
	if err := writeArchive(file, kinds["docker-1.10"]([]string{"app:1"})); err != nil {
		t.Fatal(err)
	}
	spec, err := source.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	store, err := openStore()
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ctx, press := context.WithCancel(t.Context())
	opts := &publishOptions{names: &cutOff{store, press}, quiet: true}
	var errs bytes.Buffer
	cmd := newPublish()
	cmd.SetContext(ctx)
	cmd.SetErr(&errs)
	open := func(ctx context.Context) (*source.Source, error) { return source.Open(ctx, spec, source.Options{}) }
	if _, err := opts.publishOne(cmd, slog.New(slog.DiscardHandler), store, open, layer.Options{Compression: layer.Gzip}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	roots, err := store.Roots(t.Context())
	if err != nil || len(roots) != 1 {
		t.Fatalf("published are %v, %v", roots, err)
	}
	if want := ref.Ciq(roots[0].CID) + " is published, and not all local names"; !strings.HasPrefix(errs.String(), want) {
		t.Errorf("told is %q, want %q", &errs, want)
	}
}
