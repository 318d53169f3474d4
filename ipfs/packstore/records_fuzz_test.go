package packstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

// FuzzPushedFiles puts any bytes at any place of any file of a store into which images
// were pushed, its records and what was checked among them: what is told is of the
// space that was asked for, what is held can be read to its end, and what says success
// keeps what was pushed.
func FuzzPushedFiles(f *testing.F) { fuzzFiles(f, pushes, usePushed) }

// pushes makes a store with records of two kinds, and packs that were checked.
func pushes(f *testing.F, s *packstore.Store) cid.Cid {
	tx, err := s.BeginRecords(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	defer tx.Abort()
	root := storetest.Add(f, tx, fuzzed)
	_, err = tx.CommitRecords(f.Context(), []ipfs.Root{{CID: root, Names: []string{"app:1"}}},
		ipfs.Record{Key: ipfs.Key{Kind: "blob", Space: "app", Name: "sha256:a"}, CID: root},
		ipfs.Record{Key: ipfs.Key{Kind: "tag", Space: "app", Name: "1"}, CID: root, Value: json.RawMessage(`{"size":1}`)})
	if err != nil {
		f.Fatal(err)
	}
	return root
}

func usePushed(t *testing.T, path string, root cid.Cid) {
	s, err := packstore.Open(path)
	if err != nil {
		return
	}
	defer func() { _ = s.Close() }() // of a store that may be broken
	ctx := context.Background()
	for _, kind := range []string{"blob", "tag"} {
		_, _ = s.Spaces(ctx, kind)
		records, err := s.Records(ctx, kind, "app")
		if err != nil && !errors.Is(err, ipfs.ErrCorrupt) {
			t.Errorf("records: %v", err)
		}
		for _, r := range records {
			if !r.CID.Defined() {
				t.Errorf("record %+v has no CID", r)
			}
		}
	}
	if r, err := s.Record(ctx, ipfs.Key{Kind: "tag", Space: "app", Name: "1"}); err == nil && !r.CID.Defined() {
		t.Errorf("record %+v has no CID", r)
	}
	if held, release, err := s.Hold(ctx, root); err == nil {
		if data, err := held.Get(ctx, root); err != nil && !errors.Is(err, ipfs.ErrCorrupt) && !errors.Is(err, ipfs.ErrNotFound) {
			t.Errorf("%d bytes of what is held: %v", len(data), err)
		}
		release()
	}
	if _, err := s.GC(ctx, packstore.GCOptions{}); err != nil {
		return
	}
	if r, err := s.Record(ctx, ipfs.Key{Kind: "tag", Space: "app", Name: "1"}); err == nil && r.CID.Equals(root) {
		if _, err := ipfs.Verified(s).Get(ctx, root); err != nil && !errors.Is(err, ipfs.ErrCorrupt) {
			t.Errorf("gc said success, and what a record keeps is gone: %v", err)
		}
	}
}
