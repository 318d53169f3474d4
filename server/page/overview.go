package page

import (
	"context"
	"net/url"
	"slices"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
)

// perPage is how many images a document lists.
const perPage = 50

// inspecting is how long is read for one document that lists images what is in them.
const inspecting = 5 * time.Second

// overview lists images.
type overview struct {
	Query        string
	Rows         []row
	Found, Total int
	Unread       int   // images that could not be searched for a digest
	Bytes        int64 // of the blobs of all, each counted
	Disk, Cache  int64
	HasDisk      bool
	Page, Pages  int
	Before, Next string // queries; "" for none
}

// row is one root.
type row struct {
	Root          string   // ciq
	Names         []string // but the current ones
	Current       []string // local names that are it
	More          int      // names of both kinds that are not listed
	Size          int64
	Published     time.Time
	Used          time.Time
	Platforms     []string
	MorePlatforms int  // that are not listed
	Unread        bool // what is in it cannot be read now
	Pushed        bool
}

// maxSome is how many names of an image stand in one row.
const maxSome = 10

// some are the first of names, and how many more there are.
func some(names []string) (first []string, more int) {
	n := min(len(names), maxSome)
	return names[:n:n], len(names) - n
}

// overview lists the images that q asks for, newest first.
func (p *Page) overview(ctx context.Context, q url.Values) (*overview, error) {
	kept, current, err := p.kept(ctx)
	if err != nil {
		return nil, err
	}
	slices.Reverse(kept)
	o := &overview{Query: q.Get("q"), Total: len(kept)}
	reading, cancel := context.WithTimeout(ctx, inspecting)
	defer cancel()
	matches := p.search(reading, o)
	var found []ipfs.Root
	for _, r := range kept {
		o.Bytes += r.Size
		if matches(r, current[r.CID.KeyString()]) {
			found = append(found, r)
		}
	}
	o.Found, o.Pages = len(found), max((len(found)+perPage-1)/perPage, 1)
	o.Page = min(pageOf(q), o.Pages)
	for _, r := range found[(o.Page-1)*perPage : min(o.Page*perPage, len(found))] {
		o.Rows = append(o.Rows, p.row(reading, r, current[r.CID.KeyString()]))
	}
	same := url.Values{}
	if o.Query != "" {
		same.Set("q", o.Query)
	}
	o.Before, o.Next = turns(same, o.Page, o.Pages)
	if p.cfg.Disk != nil {
		if o.Disk, o.Cache, err = p.cfg.Disk(); err == nil {
			o.HasDisk = true
		}
	}
	return o, nil
}

// kept are the roots, and their local names.
func (p *Page) kept(ctx context.Context) (roots []ipfs.Root, current map[string][]string, err error) {
	if p.cfg.Current != nil {
		if current, err = p.cfg.Current(ctx); err != nil {
			return nil, nil, err
		}
	}
	if p.cfg.Kept != nil {
		roots, err = p.cfg.Kept(ctx)
	}
	return slices.Clone(roots), current, err
}

// row is a root with what is in it, as far as that can be read.
func (p *Page) row(ctx context.Context, r ipfs.Root, current []string) row {
	out := p.head(r, current)
	i, err := p.inspect(ctx, r.CID)
	if err != nil {
		out.Unread = !settled(err)
		return out
	}
	out.Platforms, out.MorePlatforms = some(i.platforms)
	return out
}

// head is a root as the store lists it.
func (p *Page) head(r ipfs.Root, current []string) row {
	out := row{Root: ref.Ciq(r.CID), Size: r.Size, Published: r.Published, Pushed: r.Pushed}
	out.Current, out.More = some(current)
	is := make(map[string]bool, len(current))
	for _, name := range current {
		is[name] = true
	}
	for _, name := range r.Names {
		switch {
		case is[name]:
		case len(out.Names) < maxSome:
			out.Names = append(out.Names, name)
		default:
			out.More++
		}
	}
	if p.cfg.LastUse != nil {
		out.Used = p.cfg.LastUse(r.CID)
	}
	return out
}
