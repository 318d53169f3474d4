// Package pushed is the registry of what was pushed to a store: repositories with
// blobs, manifests by digest, and tags. Each tag is a published root, an OCI image
// layout that is a pure function of the manifest that the tag names, what that
// reaches, what refers to it, and the name.
//
// All that is known lies in the store as [ipfs.Record]s, which keep what they name
// from being collected:
//
//	kind      space          name    keeps
//	blob      repository     digest  the file, for a day, or as long as a manifest needs it
//	manifest  repository     digest  the blobs/ of a layout of it: all that it reaches
//	referrer  repository@subject  digest  the same of a manifest that has this subject
//	tag       repository     tag     the root
//	arrived   repository     any     a file whose digest is being computed, for a day
//
// So any number of processes may use it, and nothing is lost with the one that took
// a push.
package pushed

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

const (
	kindBlob     = "blob"
	kindManifest = "manifest"
	kindReferrer = "referrer"
	kindTag      = "tag"
	kindArrived  = "arrived"
)

// Alone is how long a blob is kept that no manifest needs.
const Alone = 24 * time.Hour

// fresh is the least for which a blob that is told to be here stays: who is told so
// needs time to push the manifest.
const fresh = time.Hour

// DefaultHistory is how many images a tag keeps beside the one that it is.
const DefaultHistory = 10

// Options say how a Registry works.
type Options struct {
	// History is how many images that a tag was before are kept when something is
	// pushed by it; 0 is [DefaultHistory], less than 0 none.
	History int
	// Meant gives the roots that names mean which move and whose keys are here, by
	// [cid.Cid.KeyString]: no push and no deletion by digest takes them away. Nil for none.
	Meant func() (map[string]string, error)
}

// Registry is what was pushed to one store, and the local names of what else is
// published there. It is safe for concurrent use.
type Registry struct {
	store   ipfs.Recorder
	history int
	meant   func() (map[string]string, error)
	arrived arrivals
}

// New gives the registry in a store.
func New(store ipfs.Recorder, o Options) *Registry {
	if o.Meant == nil {
		o.Meant = func() (map[string]string, error) { return nil, nil }
	}
	return &Registry{store: store, history: max(cmp.Or(o.History, DefaultHistory), 0), meant: o.Meant}
}

// Repositories lists those that have a manifest, sorted.
func (g *Registry) Repositories(ctx context.Context) ([]string, error) {
	return g.store.Spaces(ctx, kindManifest)
}

// blobValue is what is recorded of a blob.
type blobValue struct {
	link
	// Promised is, where a manifest needs the blob, until when somebody else was told
	// that it stays, whose manifest is yet to come.
	Promised time.Time `json:"promised,omitzero"`
}

// link is an [ipfs.Link] as it is recorded.
type link struct {
	CID  cid.Cid `json:"cid"`
	Size int64   `json:"size"` // bytes of the content
	DAG  uint64  `json:"dag"`  // bytes of its blocks
}

// manifestValue is what is recorded of a manifest.
type manifestValue struct {
	MediaType string        `json:"mediaType"`
	File      link          `json:"file"`
	Subject   digest.Digest `json:"subject,omitempty"`
	Pushed    time.Time     `json:"pushed"`
}

// tagValue is what is recorded of a tag.
type tagValue struct {
	Digest    digest.Digest   `json:"digest"`
	MediaType string          `json:"mediaType"`
	Size      int64           `json:"size"`
	Root      bool            `json:"root"` // the tag has a root; those of referrers have none of their own
	Pushed    time.Time       `json:"pushed"`
	Manifests []digest.Digest `json:"manifests,omitempty"` // that the root holds
	By        string          `json:"by"`                  // ByPush, ByPublish or ByTag
	Named     string          `json:"named,omitempty"`     // what the image is called in the root; "" for this tag itself
	Unnamed   bool            `json:"unnamed,omitempty"`   // in the root it has no name
	Past      []past          `json:"past,omitempty"`      // roots of before, newest first
}

// Who gave a tag what it is.
const (
	ByPush    = "push"
	ByPublish = "publish" // an archive's own names, which take nothing away
	ByTag     = "tag"     // somebody by command
)

func blobKey(repository string, d digest.Digest) ipfs.Key {
	return ipfs.Key{Kind: kindBlob, Space: repository, Name: d.String()}
}

func manifestKey(repository string, d digest.Digest) ipfs.Key {
	return ipfs.Key{Kind: kindManifest, Space: repository, Name: d.String()}
}

func referrerKey(repository string, subject, d digest.Digest) ipfs.Key {
	return ipfs.Key{Kind: kindReferrer, Space: referrerSpace(repository, subject), Name: d.String()}
}

func referrerSpace(repository string, subject digest.Digest) string {
	return repository + "@" + subject.String()
}

func tagKey(repository, tag string) ipfs.Key {
	return ipfs.Key{Kind: kindTag, Space: repository, Name: tag}
}

// read reads a record and its value.
func read[V any](ctx context.Context, s ipfs.Recorder, k ipfs.Key) (r ipfs.Record, v V, err error) {
	if r, err = s.Record(ctx, k); err != nil {
		return r, v, err
	}
	v, err = value[V](r)
	return r, v, err
}

func value[V any](r ipfs.Record) (v V, err error) {
	if err := jsontext.Unmarshal(r.Value, &v); err != nil {
		return v, fmt.Errorf("%w: record of %s %q of %q: %v", oci.ErrCorrupt, r.Kind, r.Name, r.Space, err)
	}
	return v, nil
}

func record(k ipfs.Key, c cid.Cid, until time.Time, v any) (ipfs.Record, error) {
	data, err := json.Marshal(v)
	return ipfs.Record{Key: k, CID: c, Until: until, Value: data}, err
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
