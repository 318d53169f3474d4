package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/test/process"
	"github.com/image2ipfs/image2ipfs/test/program"
)

// pushing is an image that a client pushes, and what the server has said of it.
type pushing struct {
	repository string
	blobs      [][]byte // config and layers
	manifest   []byte
	digest     digest.Digest

	state state  // of the manifest
	there []bool // blobs that were answered 201
	open  string // path of an upload that has not come to its end
}

const pushingCount = 4

// makePushings makes images of up to 2 MB that are pushed; every two share a layer.
func makePushings(choose *rand.Rand) (all []*pushing, err error) {
	var shared []byte
	for i := range pushingCount {
		if i%2 == 0 {
			shared = noise(choose, 100_000+choose.IntN(500_000))
		}
		p := &pushing{repository: fmt.Sprintf("pushed/crash%d", i), blobs: [][]byte{
			fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","created":"20%02d-01-01T00:00:00Z"}`, i),
			shared, noise(choose, 100_000+choose.IntN(1_400_000)),
		}}
		p.there = make([]bool, len(p.blobs))
		m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest}
		m.SchemaVersion = 2
		for i, data := range p.blobs {
			d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromBytes(data), Size: int64(len(data))}
			if i == 0 {
				d.MediaType = ocispec.MediaTypeImageConfig
				m.Config = d
			} else {
				m.Layers = append(m.Layers, d)
			}
		}
		if p.manifest, err = json.Marshal(m); err != nil {
			return nil, err
		}
		p.digest = digest.FromBytes(p.manifest)
		all = append(all, p)
	}
	return all, nil
}

// registry is the address that is pushed to.
type registry struct{ base string }

func newRegistry() (registry, error) {
	addr, err := process.FreeAddr()
	return registry{"http://" + addr}, err
}

// args have a server listen there.
func (r registry) args() []string { return []string{"--push", strings.TrimPrefix(r.base, "http://")} }

// send sends a request and gives the answer, whose body is read, if its status is one of
// these; else the error is a [program.StatusError].
func (r registry) send(ctx context.Context, method, path string, body []byte, statuses ...int) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	if strings.Contains(path, "/manifests/") {
		req.Header.Set("Content-Type", ocispec.MediaTypeImageManifest)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, nil, err
	}
	if slices.Contains(statuses, resp.StatusCode) {
		return resp, data, nil
	}
	return nil, nil, fmt.Errorf("%s: %w", method, &program.StatusError{URL: path, Code: resp.StatusCode, Body: fmt.Sprintf("%.500s", data)})
}

// push pushes an image as clients do, its blobs in two chunks each.
func (r registry) push(ctx context.Context, p *pushing) error {
	for i, data := range p.blobs {
		if err := r.upload(ctx, p, data); err != nil {
			return err
		}
		p.there[i] = true
	}
	if p.state == gone {
		p.state = maybe
	}
	_, _, err := r.send(ctx, http.MethodPut, "/v2/"+p.repository+"/manifests/latest", p.manifest, http.StatusCreated)
	if err == nil {
		p.state = kept
	}
	return err
}

func (r registry) upload(ctx context.Context, p *pushing, data []byte) error {
	resp, _, err := r.send(ctx, http.MethodPost, "/v2/"+p.repository+"/blobs/uploads/", nil, http.StatusAccepted)
	if err != nil {
		return err
	}
	p.open = resp.Header.Get("Location")
	half := len(data) / 2
	if _, _, err = r.send(ctx, http.MethodPatch, p.open, data[:half], http.StatusAccepted); err == nil {
		_, _, err = r.send(ctx, http.MethodPut, p.open+"?digest="+digest.FromBytes(data).String(), data[half:], http.StatusCreated)
	}
	if err == nil {
		p.open = ""
	}
	return err
}

// remove deletes an image and its blobs.
func (r registry) remove(ctx context.Context, p *pushing) error {
	for i := range p.there { // deleting a manifest may take its blobs, also when its answer never comes
		p.there[i] = p.there[i] && p.state == gone
	}
	p.state = maybe
	path := "/v2/" + p.repository + "/"
	_, _, err := r.send(ctx, http.MethodDelete, path+"manifests/"+p.digest.String(), nil, http.StatusAccepted, http.StatusNotFound)
	if err != nil {
		return err
	}
	p.state = gone
	for i, data := range p.blobs {
		p.there[i] = false
		if _, _, err := r.send(ctx, http.MethodDelete, path+"blobs/"+digest.FromBytes(data).String(), nil, http.StatusAccepted, http.StatusNotFound); err != nil {
			return err
		}
	}
	return nil
}

// check looks whether what was answered 201 is there, byte for byte, and what was open
// when the server was killed is not.
func (r registry) check(ctx context.Context, p *pushing, main string, restarted bool) error {
	for i, data := range p.blobs {
		if !p.there[i] {
			continue
		}
		d := digest.FromBytes(data)
		if _, err := program.Get(ctx, client, r.base+"/v2/"+p.repository+"/blobs/"+d.String(), d); err != nil {
			return fmt.Errorf("LOST: a blob that was answered 201: %w", err)
		}
	}
	if p.open != "" {
		_, _, err := r.send(ctx, http.MethodDelete, p.open, nil, http.StatusNotFound, http.StatusNoContent)
		if restarted && err == nil {
			_, _, err = r.send(ctx, http.MethodPatch, p.open, []byte("x"), http.StatusNotFound)
		}
		if err != nil {
			return fmt.Errorf("an upload that was cut off: %w", err)
		}
		p.open = ""
	}
	resp, data, err := r.send(ctx, http.MethodGet, "/v2/"+p.repository+"/manifests/latest", nil, http.StatusOK, http.StatusNotFound)
	if err != nil {
		return err
	}
	there := resp.StatusCode == http.StatusOK
	switch {
	case there && p.state == gone:
		return fmt.Errorf("%s was deleted, or never pushed, and is there", p.repository)
	case !there && p.state == kept:
		return fmt.Errorf("LOST: %s was answered 201 and is not there", p.repository)
	case !there:
		p.state = gone
		return nil
	case !bytes.Equal(data, p.manifest):
		return fmt.Errorf("%w: manifest of %s", program.ErrWrongBytes, p.repository)
	}
	p.state = kept
	for i := range p.there {
		p.there[i] = true
	}
	get := func(url string, want digest.Digest) ([]byte, error) { return program.Get(ctx, client, url, want) }
	if _, err := program.Pull(r.base, p.repository, p.digest, get); err != nil {
		return err
	}
	_, byCID, _ := strings.Cut(strings.TrimSuffix(resp.Header.Get("Image2ipfs-Name"), ":latest"), "/")
	if _, err := program.Pull(main, byCID, p.digest, get); err != nil {
		return fmt.Errorf("by its CID: %w", err)
	}
	return nil
}

// pushJob is a client under way.
type pushJob struct {
	p      *pushing
	remove bool
	done   chan error
}

// planPushes chooses what at most two clients do.
func (t *trial) planPushes() (jobs []*pushJob) {
	for _, i := range t.choose.Perm(len(t.pushings))[:t.choose.IntN(3)] {
		p := t.pushings[i]
		jobs = append(jobs, &pushJob{p: p, remove: p.state != gone && t.choose.IntN(2) == 0, done: make(chan error, 1)})
	}
	return jobs
}

func (t *trial) startPushes(ctx context.Context, jobs []*pushJob) {
	for _, j := range jobs {
		work := t.registry.push
		if j.remove {
			work = t.registry.remove
		}
		go func() { j.done <- work(ctx, j.p) }()
	}
}

// endPushes waits for the clients. They may fail when the server was killed, and on a
// disk that is full.
func (t *trial) endPushes(jobs []*pushJob, killed bool) error {
	var errs []error
	for _, j := range jobs {
		switch err := <-j.done; {
		case err == nil && !j.remove:
			t.pushed++
		case err != nil && t.disk != nil && !killed:
			t.full++
		case err != nil && !killed:
			errs = append(errs, fmt.Errorf("pushing %s: %w", j.p.repository, err))
		}
	}
	return errors.Join(errs...)
}

// checkPushes looks after all that is pushed.
func (t *trial) checkPushes(ctx context.Context, restarted bool) error {
	for _, p := range t.pushings {
		if err := t.registry.check(ctx, p, "http://"+t.server.Addr, restarted); err != nil {
			return err
		}
	}
	return nil
}

// removePushes deletes all that was pushed, and roots of it that are left.
func (t *trial) removePushes(ctx context.Context) error {
	for _, p := range t.pushings {
		if err := t.registry.remove(ctx, p); err != nil {
			return err
		}
	}
	out, err := t.output("ls", "-q")
	if err != nil {
		return err
	}
	for root := range strings.FieldsSeq(out) {
		if slices.ContainsFunc(t.images, func(m image) bool { return m.root == root }) {
			continue
		}
		if _, err := t.output("rm", root); err != nil {
			return err
		}
	}
	return nil
}
