package pushed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// ErrLacking is matched by errors about a manifest that needs what its repository
// does not have.
var ErrLacking = fmt.Errorf("manifest needs what was not pushed before it: %w", oci.ErrNotFound)

// Manifest is one that is pushed.
type Manifest struct {
	Descriptor ocispec.Descriptor // media type, digest and size of Content
	Content    []byte
	Tag        string // "" when it is pushed by digest
}

// Result is what became of a pushed manifest.
type Result struct {
	Subject digest.Digest // that it refers to by its subject field; "" for none
	Roots   []Root        // of its tag, or else of the tags to whose images it refers
	Size    int64         // bytes of the manifest and of all that it reaches, each once
	// NewBytes were stored for it: its own, and those of blobs that came by this
	// process and that no manifest had needed.
	NewBytes int64
	// Unshared are the blobs of which nine tenths and more were new although the tag
	// had a root before, the largest first; small ones are left out.
	Unshared []Stored
}

// Root is what a tag became.
type Root struct {
	Tag  string
	CID  cid.Cid
	Size int64 // bytes of all blobs
}

// PutManifest takes a manifest (distribution-spec, "Pushing Manifests"): by digest it
// stays in its repository with all that it reaches, and by tag it becomes a published
// root. What refers to an image that has a tag gives that a new root. When it returns
// all of it is safe on disk. Errors match [oci.ErrManifestInvalid], or [ErrLacking].
func (g *Registry) PutManifest(ctx context.Context, repository string, m Manifest) (_ Result, err error) {
	subject, err := check(m)
	if err != nil {
		return Result{}, err
	}
	unlock, err := g.store.LockSpace(ctx, repository)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	tx, err := g.store.BeginRecords(ctx)
	if err != nil {
		return Result{}, err
	}
	w := &weaver{g: g, ctx: ctx, repository: repository, tx: tx, found: map[digest.Digest]found{}, tagged: map[string]digest.Digest{}}
	result, err := w.put(m, subject)
	return result, errors.Join(err, tx.Abort()) // after a commit it does nothing
}

// check refuses what is no manifest, or not of the type that its sender says.
func check(m Manifest) (subject digest.Digest, err error) {
	said, is := m.Descriptor.MediaType, oci.SniffMediaType(m.Content)
	switch {
	case !json.Valid(m.Content):
		return "", fmt.Errorf("%w: %s is not JSON", oci.ErrManifestInvalid, m.Descriptor.Digest)
	case said == oci.MediaTypeDockerSchema1 || said == oci.MediaTypeDockerSigned1 || !oci.IsAnyManifest(said):
		return "", fmt.Errorf("%w: %s is of type %q: expected an OCI or Docker schema 2 manifest or index", oci.ErrManifestInvalid, m.Descriptor.Digest, said)
	case !oci.IsAnyManifest(is) || oci.IsIndex(is) != oci.IsIndex(said):
		return "", fmt.Errorf("%w: %s is sent as %q, its content is that of %q", oci.ErrManifestInvalid, m.Descriptor.Digest, said, is)
	}
	var own struct {
		MediaType string `json:"mediaType"`
	}
	if err := json.Unmarshal(m.Content, &own); err != nil || own.MediaType != "" && own.MediaType != said {
		return "", fmt.Errorf("%w: %s is sent as %q, and says of itself that it is %q", oci.ErrManifestInvalid, m.Descriptor.Digest, said, own.MediaType)
	}
	subject, _, _ = oci.Referrer(m.Descriptor, m.Content)
	return subject, nil
}

// referrerTag matches the tags by which clients look for what refers to a digest
// (distribution-spec, "Referrers Tag Schema"; cosign).
var referrerTag = regexp.MustCompile(`^sha256-([0-9a-f]{64})(|\.sig|\.att|\.sbom)$`)

var referrerSuffixes = []string{"", ".sig", ".att", ".sbom"}

// taggedSubject is whom a tag makes its manifest refer to; "" for an ordinary tag.
func taggedSubject(tag string) digest.Digest {
	if parts := referrerTag.FindStringSubmatch(tag); parts != nil {
		return digest.NewDigestFromEncoded(digest.SHA256, parts[1])
	}
	return ""
}

// weaver puts one manifest into a repository, and makes the roots that come of it.
type weaver struct {
	g          *Registry
	ctx        context.Context
	repository string
	tx         ipfs.RecordTx
	found      map[digest.Digest]found  // what was looked up, and what is being pushed
	tagged     map[string]digest.Digest // tags that are being pushed
	subject    digest.Digest            // of what is being pushed
	pushed     digest.Digest
}

// found is a content of the repository.
type found struct {
	link
	mediaType string // of a manifest
	data      []byte // of one that is not in the store yet
	alone     *ipfs.Record
}

func (w *weaver) put(m Manifest, subject digest.Digest) (result Result, err error) {
	d := m.Descriptor.Digest
	result.Subject = subject
	file, err := ipfs.AddFile(w.ctx, w.tx, bytes.NewReader(m.Content))
	if err != nil {
		return result, err
	}
	w.found[d] = found{link: link(file), mediaType: m.Descriptor.MediaType, data: m.Content}
	w.pushed, w.subject = d, subject
	needed, err := oci.Walk(w.ctx, w, oci.NewIndex([]ocispec.Descriptor{m.Descriptor}))
	if err != nil {
		return result, refused(err)
	}
	blobs, size, err := w.files(needed)
	if err != nil {
		return result, err
	}
	hold, err := ipfs.AddTree(w.ctx, w.tx, blobs)
	if err != nil {
		return result, err
	}
	records, err := w.records(m, subject, needed, hold.CID)
	if err != nil {
		return result, err
	}
	roots, tags, err := w.roots(m, subject, hold.CID)
	if err != nil {
		return result, refused(err)
	}
	var published []ipfs.Root
	for _, r := range roots {
		published = append(published, ipfs.Root{CID: r.CID, Names: []string{w.repository + ":" + r.Tag}, Published: now(), Size: r.Size})
	}
	had, err := w.had(m.Tag)
	if err != nil {
		return result, err
	}
	stats, err := w.tx.CommitRecords(w.ctx, published, append(records, tags...)...)
	result.Roots, result.Size = roots, size
	if result.NewBytes, result.Unshared = w.news(stats); !had {
		result.Unshared = nil
	}
	return result, err
}

// refused gives what keeps a manifest from being taken the error for it.
func refused(err error) error {
	switch {
	case errors.Is(err, ipfs.ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, oci.ErrNotFound):
		return fmt.Errorf("%w: %w", ErrLacking, err)
	case errors.Is(err, oci.ErrCorrupt):
		return fmt.Errorf("%w: %w", oci.ErrManifestInvalid, err)
	}
	return err
}

// records are those of a manifest: blobs that it needs stay from now on.
func (w *weaver) records(m Manifest, subject digest.Digest, needed *oci.Reachable, hold cid.Cid) ([]ipfs.Record, error) {
	var all []ipfs.Record
	for _, desc := range needed.Blobs {
		f := w.found[desc.Digest]
		switch data, inline := needed.Inline[desc.Digest]; {
		case inline:
			r, err := record(blobKey(w.repository, desc.Digest), f.CID, noEnd, link{f.CID, int64(len(data)), f.DAG})
			if err != nil {
				return nil, err
			}
			all = append(all, r)
		case f.alone != nil:
			r := *f.alone
			r.Until = noEnd
			all = append(all, r)
		}
	}
	d := m.Descriptor.Digest
	v := manifestValue{MediaType: m.Descriptor.MediaType, File: w.found[d].link, Subject: subject, Pushed: now()}
	r, err := record(manifestKey(w.repository, d), hold, noEnd, v)
	if err != nil {
		return nil, err
	}
	all = append(all, r)
	if subject != "" {
		r, err := record(referrerKey(w.repository, subject, d), hold, noEnd, struct{}{})
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// Manifest implements [oci.Contents].
func (w *weaver) Manifest(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	f, err := w.look(desc.Digest)
	if err != nil || f.data != nil {
		return f.data, err
	}
	return w.g.content(ctx, desc.Digest, f.link)
}

// Size implements [oci.Contents].
func (w *weaver) Size(_ context.Context, d digest.Digest) (int64, error) {
	f, err := w.look(d)
	return f.Size, err
}

// look finds a content of the repository.
func (w *weaver) look(d digest.Digest) (found, error) {
	if f, ok := w.found[d]; ok {
		return f, nil
	}
	_, v, err := read[manifestValue](w.ctx, w.g.store, manifestKey(w.repository, d))
	if err == nil {
		f := found{link: v.File, mediaType: v.MediaType}
		w.found[d] = f
		return f, nil
	}
	if !errors.Is(err, oci.ErrNotFound) {
		return found{}, err
	}
	r, l, err := read[link](w.ctx, w.g.store, blobKey(w.repository, d))
	if err != nil {
		return found{}, err
	}
	f := found{link: l}
	if !r.Until.IsZero() {
		f.alone = &r
	}
	w.found[d] = f
	return f, nil
}
