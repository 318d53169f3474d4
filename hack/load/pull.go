package main

import (
	"archive/tar"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// image is a published image, by the path of its repository.
type image struct{ repository string }

// publishImages makes n images of one layer of 1 to 8 MiB and publishes them.
func publishImages(ctx context.Context, p program, dir string, n int) ([]image, error) {
	var images []image
	for i := range n {
		path := filepath.Join(dir, "image.tar")
		if err := writeArchive(path, i, (1+i%8)<<20); err != nil {
			return nil, err
		}
		cmd := p.command("publish", "-q", "-r", "host", path)
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("publishing image %d: %w", i, err)
		}
		images = append(images, image{strings.TrimPrefix(strings.TrimSpace(string(out)), "host/")})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return images, nil
}

// writeArchive writes a docker archive with a layer of random bytes.
func writeArchive(path string, i, size int) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var layer strings.Builder
	noise := make([]byte, size)
	if _, err := rand.Read(noise); err != nil {
		return err
	}
	inner := tar.NewWriter(&layer)
	if err := errors.Join(entry(inner, "noise", noise), inner.Close()); err != nil {
		return err
	}
	config, err := json.Marshal(ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromString(layer.String())}},
	})
	if err != nil {
		return err
	}
	manifest := fmt.Sprintf(`[{"Config":"config.json","RepoTags":["load%d:1"],"Layers":["layer.tar"]}]`, i)
	w := tar.NewWriter(f)
	return errors.Join(entry(w, "layer.tar", []byte(layer.String())), entry(w, "config.json", config),
		entry(w, "manifest.json", []byte(manifest)), w.Close())
}

func entry(w *tar.Writer, name string, data []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

// tally counts what happened.
type tally struct {
	pulls, blobs, bytes, retries, failures atomic.Int64
	first, tried                           atomic.Value // the first failure, and the first that a second try mended
}

// retry notes a transfer that is tried again.
func (t *tally) retry(err error) {
	t.retries.Add(1)
	t.tried.CompareAndSwap(nil, err.Error())
}

func (t *tally) fail(err error) {
	t.failures.Add(1)
	t.first.CompareAndSwap(nil, err.Error())
}

// pullAll has each client pull one image after the other until ctx ends.
func pullAll(ctx context.Context, clients int, images []image, addr string, t *tally) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients, ResponseHeaderTimeout: 30 * time.Second}}
	var wait sync.WaitGroup
	for n := range clients {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := n; ctx.Err() == nil; i++ {
				err := pull(ctx, client, addr, images[i%len(images)], t)
				if err != nil && ctx.Err() == nil {
					t.fail(err)
				}
				t.pulls.Add(1)
			}
		}()
	}
	wait.Wait()
	client.CloseIdleConnections()
}

// pull fetches a manifest and all that it names, as an engine does.
func pull(ctx context.Context, c *http.Client, addr string, i image, t *tally) error {
	base := "http://" + addr + "/v2/" + i.repository
	data, err := fetch(ctx, c, base+"/manifests/latest", "", t)
	if err != nil {
		return err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("%s: %w", base, err)
	}
	for _, d := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		if _, err := fetch(ctx, c, base+"/blobs/"+d.Digest.String(), d.Digest, t); err != nil {
			return err
		}
		t.blobs.Add(1)
	}
	return nil
}

// fetch gets one content, with a second try when a transfer breaks, as engines
// do. Wrong bytes are never forgiven.
func fetch(ctx context.Context, c *http.Client, url string, want digest.Digest, t *tally) ([]byte, error) {
	var err error
	for range 2 {
		var data []byte
		if data, err = get(ctx, c, url); err == nil {
			if want != "" && digest.FromBytes(data) != want {
				return nil, fmt.Errorf("WRONG BYTES: %s has %s", url, digest.FromBytes(data))
			}
			t.bytes.Add(int64(len(data)))
			return data, nil
		}
		if ctx.Err() == nil {
			t.retry(err)
		}
	}
	return nil, err
}

func get(ctx context.Context, c *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(resp.Body)
	err = errors.Join(err, resp.Body.Close())
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, resp.Status, data)
	}
	return data, err
}
