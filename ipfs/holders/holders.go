// Package holders tells who has an image, which part of it, and how that is known. It
// knows the interfaces of who has blocks, and none of them.
package holders

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Kinds of holders.
const (
	Store    = "store"
	Cache    = "cache" // of what came from peers
	Kubo     = "kubo"
	Peer     = "peer"     // a connected node
	Provider = "provider" // a node that a DHT or a routing server names
	Gateway  = "gateway"
)

// What a holder has.
const (
	All     = "all"
	Some    = "part"
	None    = "none"
	Root    = "root"    // that alone is known, since nobody says what the image consists of
	Unknown = "unknown" // it was not asked, or gave no answer
)

// Holder is somebody who may have an image.
type Holder struct {
	Kind  string     `json:"kind"`
	Name  string     `json:"name"` // of a node its peer ID
	Addrs []string   `json:"addrs,omitempty"`
	Has   string     `json:"has"`
	Part  *ipfs.Part `json:"part,omitempty"` // nil when it is not known
	How   string     `json:"how"`            // how it is known
	Error string     `json:"error,omitempty"`
}

// Search collects the holders of one image.
type Search struct {
	Image   *ipfs.Inventory
	Known   bool // what the image consists of; else Image has its root alone
	Holders []Holder

	together ipfs.Share
}

// New begins a search for the image under root, whose nodes are read from g. When nobody
// has them, the search is for the root, and why says so; other errors are those of g.
func New(ctx context.Context, g ipfs.Getter, root cid.Cid) (s *Search, why, err error) {
	list, err := ipfs.TakeInventory(ctx, g, root)
	if err != nil && (ctx.Err() != nil || !errors.Is(err, ipfs.ErrNotFound) && !errors.Is(err, ipfs.ErrUnavailable)) {
		return nil, nil, err
	}
	if err != nil {
		return newSearch(ipfs.RootInventory(root), false), err, nil
	}
	return newSearch(list, true), nil, nil
}

func newSearch(list *ipfs.Inventory, known bool) *Search {
	return &Search{Image: list, Known: known, Holders: []Holder{}, together: list.None()}
}

// Blocks asks somebody about each block. h has the kind, the name and how it is known.
func (s *Search) Blocks(ctx context.Context, h Holder, has func(context.Context, cid.Cid) (bool, error)) {
	share, err := s.Image.Share(ctx, has)
	if err != nil {
		s.Unasked(h, err.Error())
		return
	}
	s.add(h, share)
}

// Whole notes a holder of all of it.
func (s *Search) Whole(h Holder) { s.add(h, s.Image.Whole()) }

// Nothing notes who has nothing of it.
func (s *Search) Nothing(h Holder) { s.add(h, s.Image.None()) }

// Files notes a holder of the root and of some blobs, by the CIDs of their files.
func (s *Search) Files(h Holder, files []cid.Cid) { s.add(h, s.Image.ShareOfBlobs(files)) }

// Unasked notes somebody of whom it is not known what there is.
func (s *Search) Unasked(h Holder, err string) {
	h.Has, h.Error = Unknown, err
	s.Holders = append(s.Holders, h)
}

func (s *Search) add(h Holder, share ipfs.Share) {
	s.together = s.together.With(share)
	part := share.Part()
	switch {
	case part.Blocks == 0:
		h.Has = None
	case !s.Known:
		h.Has = Root
	case share.IsWhole():
		h.Has = All
	default:
		h.Has = Some
	}
	if s.Known {
		h.Part = &part
	}
	s.Holders = append(s.Holders, h)
}

// Claimer is a gateway.
type Claimer interface {
	ipfs.Getter
	fmt.Stringer
	// Claims tells whether it says that it has a block.
	Claims(ctx context.Context, c cid.Cid) (bool, error)
}

// samples is how many blocks of each blob a gateway is asked about.
const samples = 8

// Gateway asks a gateway for the root, and about some blocks of each blob.
func (s *Search) Gateway(ctx context.Context, g Claimer) {
	h := Holder{Kind: Gateway, Name: g.String(), How: "gave the root, and says what else it has"}
	_, err := g.Get(ctx, s.Image.Root)
	if errors.Is(err, ipfs.ErrNotFound) {
		h.How = "says that it has not"
		s.Nothing(h)
		return
	}
	var files []cid.Cid
	if err == nil {
		files, err = s.Image.Sampled(ctx, samples, g.Claims)
	}
	if err != nil {
		h.How = "was asked"
		s.Unasked(h, err.Error())
		return
	}
	if s.Known && len(files) == len(s.Image.Blobs) {
		s.Whole(h)
		return
	}
	s.Files(h, files)
}

// Lacking are the blobs that all holders together do not have; it says nothing when it is
// not known what the image consists of.
func (s *Search) Lacking() []digest.Digest {
	if !s.Known {
		return nil
	}
	return s.together.Lacks()
}

// Found tells whether somebody has something of it.
func (s *Search) Found() bool { return s.together.Part().Blocks > 0 }
