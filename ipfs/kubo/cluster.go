package kubo

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// clusterServer begins what the proxy of IPFS Cluster calls itself where it answers in
// place of Kubo: of what is about pins.
const clusterServer = "ipfs-cluster/"

const (
	clusterTime = 20 * time.Second // to find out what one pin of a cluster is
	clusterMany = 16               // pins that are looked into at once
	maxClusters = 100_000          // pins of which is remembered what they are
)

// cluster is what is known of a proxy of IPFS Cluster, which drops the names of pins: what
// is pinned there is an image of ours when it is an OCI layout, and is called what its
// index.json says. A pin is a CID, so what is known of it stays so.
type cluster struct {
	is    atomic.Bool // the daemon is one
	mu    sync.Mutex
	known map[cid.Cid]clusterPin
}

type clusterPin struct {
	names    []string
	isLayout bool
}

// noting notes answers that come from a cluster.
type noting struct {
	http.RoundTripper
	cluster *cluster
}

func (n noting) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := n.RoundTripper.RoundTrip(r)
	if err == nil && strings.HasPrefix(resp.Header.Get("Server"), clusterServer) {
		n.cluster.is.Store(true)
	}
	return resp, err
}

// CloseIdleConnections serves http.Client.CloseIdleConnections.
func (n noting) CloseIdleConnections() {
	(&http.Client{Transport: n.RoundTripper}).CloseIdleConnections()
}

// named gives pins that have no names, of a cluster, those that Kubo's would have.
func (e *Store) named(ctx context.Context, pins []pinned) {
	if !e.cluster.is.Load() {
		return
	}
	var all sync.WaitGroup
	places := make(chan struct{}, clusterMany)
	for i := range pins {
		if pins[i].name != "" {
			continue
		}
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			if p := e.look(ctx, pins[i].cid); p.isLayout {
				pins[i].name = pinName(p.names, false)
			}
		})
	}
	all.Wait()
}

// look finds out what a pin is. One that nobody has at the moment is nobody's image, for
// now.
func (e *Store) look(ctx context.Context, c cid.Cid) (p clusterPin) {
	e.cluster.mu.Lock()
	p, ok := e.cluster.known[c]
	e.cluster.mu.Unlock()
	if ok {
		return p
	}
	ctx, cancel := context.WithTimeout(ctx, clusterTime)
	defer cancel()
	l, err := ipfs.OpenLayout(ctx, e.Online(), c)
	settled := errors.Is(err, ipfs.ErrNoLayout) || errors.Is(err, ipfs.ErrCorrupt)
	switch {
	case err == nil:
		p = clusterPin{layoutNames(l.Index), true}
	case !settled:
		return p
	}
	e.cluster.mu.Lock()
	defer e.cluster.mu.Unlock()
	if e.cluster.known == nil || len(e.cluster.known) >= maxClusters {
		e.cluster.known = map[cid.Cid]clusterPin{}
	}
	e.cluster.known[c] = p
	return p
}

// layoutNames are those by which publish names the pin of a layout.
func layoutNames(index ocispec.Index) (names []string) {
	for _, desc := range index.Manifests {
		for _, n := range oci.ImageNames(desc) {
			if name := n.String(); name != "" && !oci.IsReferrerTag(n.Tag) {
				names = union(names, []string{name})
			}
		}
	}
	return names
}
