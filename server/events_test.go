package server

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// events are those in a file, once n are there.
func events(t *testing.T, file string, n int) (all []PushEvent) {
	t.Helper()
	waitUntil(t, func() bool {
		data, err := os.ReadFile(file)
		return err == nil && bytes.Count(data, []byte("\n")) >= n
	})
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		var e PushEvent
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	if len(all) != n {
		t.Fatalf("%d events, want %d: %s", len(all), n, data)
	}
	return all
}

// Who is told of a push can pull it by what he is told, and knows what it has cost.
func TestEvents(t *testing.T) {
	p := startPush(t, t.TempDir())
	p.s.cfg.Registry = "images.test"
	file := filepath.Join(t.TempDir(), "events")
	to, err := OpenEvents(file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	p.s.cfg.Events = to
	const size = 1 << 20
	image := p.image("team/app", big(size))
	d := digest.FromBytes(image)
	put := p.manifest("team/app", "1", image).expect(t, http.StatusCreated, "")
	e := events(t, file, 1)[0]
	if e.Name != "team/app" || e.Tag != "1" || e.Digest != d || e.MediaType != ocispec.MediaTypeImageManifest || e.Root == nil || e.Client != "127.0.0.1" ||
		e.Pull != put.Header.Get("Image2ipfs-Name") || e.Size < size || e.NewBytes < size || e.NewBytes > 2*size || time.Since(e.Time) > time.Minute || e.Agent == "" {
		t.Errorf("event %+v", e)
	}
	p.manifest("team/app", "2", image).expect(t, http.StatusCreated, "")
	if again := events(t, file, 2)[1]; again.Tag != "2" || again.NewBytes > 10_000 || again.Size != e.Size {
		t.Errorf("the same image again: %+v", again)
	}
	signature := encoded(t, ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.example", Config: p.blob("team/app", []byte("{}")),
		Layers: []ocispec.Descriptor{p.blob("team/app", []byte("signature"))}, Subject: &ocispec.Descriptor{MediaType: e.MediaType, Digest: d, Size: int64(len(image))},
	})
	signature = bytes.Replace(signature, []byte(`"schemaVersion":0`), []byte(`"schemaVersion":2`), 1)
	p.manifest("team/app", digest.FromBytes(signature).String(), signature).expect(t, http.StatusCreated, "")
	for i, e := range events(t, file, 4)[2:] {
		if e.Subject != d || e.Digest != digest.FromBytes(signature) || e.Root == nil || (e.NewBytes == 0) != (i == 1) || e.Tag != []string{"1", "2"}[i] {
			t.Errorf("a signature: %+v", e)
		}
	}
	alone := p.image("other", []byte("x"))
	p.manifest("other", digest.FromBytes(alone).String(), alone).expect(t, http.StatusCreated, "")
	if e := events(t, file, 5)[4]; e.Tag != "" || e.Root != nil || e.Size == 0 || e.NewBytes == 0 {
		t.Errorf("without a tag: %+v", e)
	}
	p.manifest("other", "1", []byte("{}")).expect(t, http.StatusBadRequest, codeManifestInvalid)
	events(t, file, 5)
}
