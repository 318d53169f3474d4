//go:build unix

package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/registry/local"
)

// emptied is a store from which somebody else removes everything after it was listed once.
type emptied struct {
	ipfs.Store
	listed bool
}

func (s *emptied) Roots(ctx context.Context) ([]ipfs.Root, error) {
	roots, err := s.Store.Roots(ctx)
	for _, r := range roots {
		if !s.listed && err == nil {
			err = s.Remove(ctx, r.CID)
		}
	}
	s.listed = true
	return roots, err
}

// What is removed while everything is verified is no fault of the store.
func TestVerifyAllBesideRemoval(t *testing.T) {
	t.Setenv("IMAGE2IPFS_PATH", filepath.Join(t.TempDir(), "store"))
	store, err := openStore()
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for _, flag := range []string{"--json", "--quiet=false"} {
		publishBlob(t, store, []byte(flag))
		cmd := newVerify()
		var out, errs bytes.Buffer
		cmd.SetContext(t.Context())
		cmd.SetOut(&out)
		cmd.SetErr(&errs)
		o := verifyOptions{all: true, json: flag == "--json"}
		if err := o.verifyAll(cmd, stores{Stores: local.Stores{&emptied{Store: store}}}); err != nil {
			t.Errorf("%s: %v", flag, err)
		}
		if out.Len() > 0 {
			t.Errorf("%s: told of what is gone: %s", flag, &out)
		}
		if flag != "--json" && !strings.Contains(errs.String(), "0 of 0 are right") {
			t.Errorf("%s: %s", flag, &errs)
		}
	}
}

// What is removed while it is counted is no fault of the store, and takes nothing.
func TestUsageBesideRemoval(t *testing.T) {
	t.Setenv("IMAGE2IPFS_PATH", filepath.Join(t.TempDir(), "store"))
	store, err := openStore()
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	publishBlob(t, store, []byte("counted"))
	if all, _, err := (local.Stores{&emptied{Store: store}}).Usage(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("usage of what is gone: %+v, %v", all, err)
	}
	publishBlob(t, store, []byte("would go"))
	if _, err := (local.Stores{&emptied{Store: store}}).Frees(t.Context()); err != nil {
		t.Errorf("frees, when something is gone: %v", err)
	}
}
