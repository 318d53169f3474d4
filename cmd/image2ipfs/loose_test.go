package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// What was pushed by digest more than a day ago and has no image goes by rule, by the name
// by which it was listed.
func TestRmLoose(t *testing.T) {
	dir := t.TempDir()
	name := pushLoose(t, dir, 25*time.Hour)
	t.Setenv("IMAGE2IPFS_PATH", dir)
	for _, args := range [][]string{{"rm", "--untagged", "--dry-run"}, {"rm", "--untagged", "team/app"}, {"ls", "--all", "--quiet"}} {
		var out, told bytes.Buffer
		cmd := newRoot(&out, &told)
		cmd.SetArgs(args)
		err := cmd.ExecuteContext(t.Context())
		want, say := name+"\n", "unpublish"
		if args[0] == "ls" {
			want, say = "", ""
		}
		if err != nil || out.String() != want || !strings.Contains(told.String(), say) {
			t.Errorf("%v: %q, %q, %v, want %q", args, &out, &told, err, want)
		}
	}
}

// pushLoose pushes a manifest by digest to team/app of the store in a directory, as if that
// had been some time ago, and gives its name.
func pushLoose(t *testing.T, dir string, ago time.Duration) string {
	t.Helper()
	store, err := packstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	g := pushed.New(store, pushed.Options{})
	u := g.Begin(t.Context(), "team/app", digest.SHA256)
	config := []byte(`{"architecture":"amd64","os":"linux"}`)
	if _, err = u.Write(config); err == nil {
		err = u.Commit(t.Context(), digest.FromBytes(config))
	}
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Layers: []ocispec.Descriptor{}}
	m.SchemaVersion = 2
	m.Config = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(config), Size: int64(len(config))}
	data, failed := json.Marshal(m)
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	desc := ocispec.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if _, err := g.PutManifest(t.Context(), "team/app", pushed.Manifest{Descriptor: desc, Content: data}); err != nil {
		t.Fatal(err)
	}
	r, err := store.Record(t.Context(), ipfs.Key{Kind: "manifest", Space: "team/app", Name: desc.Digest.String()})
	if err != nil {
		t.Fatal(err)
	}
	var value map[string]any
	err = json.Unmarshal(r.Value, &value)
	value["pushed"] = time.Now().Add(-ago).UTC()
	r.Value, failed = json.Marshal(value)
	tx, begun := store.BeginRecords(t.Context())
	if err != nil || failed != nil || begun != nil {
		t.Fatal(err, failed, begun)
	}
	if _, err := tx.CommitRecords(t.Context(), nil, r); err != nil {
		t.Fatal(err)
	}
	return "team/app@" + desc.Digest.String()
}
