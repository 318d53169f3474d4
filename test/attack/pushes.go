//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/remote"
)

// request sends the head of a request with a body to the push address; what comes back
// is read with the connection.
func (t *aim) request(ctx context.Context, method, path, headers string) (net.Conn, error) {
	c, err := t.connect(ctx, t.Push)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", method, path, headers); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// slowUploads sends blobs of a gigabyte, some bytes in each second.
func (t *aim) slowUploads(ctx context.Context) {
	t.many(ctx, 600, func(ctx context.Context, i int) error {
		want := digest.FromString(fmt.Sprint(i))
		c, err := t.request(ctx, "POST", fmt.Sprintf("/v2/attack/uploads/blobs/uploads/?digest=%s", want), "Content-Length: 1073741824\r\n")
		if err != nil {
			return err
		}
		defer c.Close()
		defer context.AfterFunc(ctx, func() { _ = c.Close() })()
		for {
			if _, err := c.Write(make([]byte, 256)); err != nil {
				return err
			}
			pause(ctx, time.Second)
		}
	})
}

// leftUploads begins uploads, one after the other, and sends nothing to them.
func (t *aim) leftUploads(ctx context.Context) {
	t.many(ctx, 64, func(ctx context.Context, i int) error {
		return t.exchange(ctx, "POST", fmt.Sprintf("/v2/attack/left%d/blobs/uploads/", i), "Content-Length: 0\r\n", nil)
	})
}

// largeManifests pushes manifests that are as large as they may be, cost much to decode
// and name what is not there.
func (t *aim) largeManifests(ctx context.Context) {
	head := `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[`
	body := []byte(head + strings.Repeat("{},", (4<<20-len(head)-8)/3) + "{}]}")
	headers := fmt.Sprintf("Content-Type: %s\r\nContent-Length: %d\r\n", ocispec.MediaTypeImageIndex, len(body))
	t.many(ctx, 64, func(ctx context.Context, i int) error {
		return t.exchange(ctx, "PUT", fmt.Sprintf("/v2/attack/large/manifests/t%d", i), headers, body)
	})
}

// exchange makes a request of the push address, and takes the beginning of its answer.
func (t *aim) exchange(ctx context.Context, method, path, headers string, body []byte) error {
	c, err := t.request(ctx, method, path, headers)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	if _, err := c.Write(body); err != nil {
		return err
	}
	answer := make([]byte, 12)
	if _, err := io.ReadFull(c, answer); err != nil {
		return err
	}
	if answer[9] == '4' {
		return fmt.Errorf("refused: %s", answer)
	}
	return nil
}

// honestPushes pushes an image again and again until ctx is done, each time another, and
// asks for it by its name.
func (t *target) honestPushes(ctx context.Context) error {
	nobody := func(context.Context, string, string) (auth.Credential, error) { return auth.EmptyCredential, nil }
	repo, err := remote.Open(ctx, t.Push, "honest/app", remote.Options{Credentials: nobody})
	if err != nil {
		return err
	}
	for i := 0; ctx.Err() == nil; i++ {
		began := time.Now()
		if err := pushOne(context.WithoutCancel(ctx), repo, byte(i)); err != nil {
			return fmt.Errorf("an honest push failed after %s: %w", time.Since(began).Round(time.Millisecond), err)
		}
		if took := time.Since(began); took > t.meeting {
			return fmt.Errorf("an honest push took %s, at most %s are allowed", took.Round(time.Millisecond), t.meeting)
		}
		pause(ctx, 200*time.Millisecond)
	}
	return nil
}

// pushOne pushes an image whose layer follows from a seed, and reads its manifest by tag.
func pushOne(ctx context.Context, repo *remote.Repository, seed byte) error {
	layer := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(layer) // never fails
	config := []byte(fmt.Sprintf(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[%q]}}`, digest.FromBytes(layer)))
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	m.Config = described(ocispec.MediaTypeImageConfig, config)
	m.Layers = []ocispec.Descriptor{described(ocispec.MediaTypeImageLayer, layer)}
	for data, desc := range map[*[]byte]ocispec.Descriptor{&config: m.Config, &layer: m.Layers[0]} {
		if _, err := repo.PutBlob(ctx, desc, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(*data)), nil }); err != nil {
			return err
		}
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	tag := fmt.Sprint("n", seed)
	if err := repo.PutManifest(ctx, described(m.MediaType, text), text, tag); err != nil {
		return err
	}
	got, err := repo.Resolve(ctx, ref.Name{Tag: tag})
	if err == nil && got.Digest != digest.FromBytes(text) {
		err = fmt.Errorf("tag %s is %s, pushed was %s", tag, got.Digest, digest.FromBytes(text))
	}
	return err
}

func described(mediaType string, data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}
