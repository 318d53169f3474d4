package page

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
)

// perPage is how many images a document lists.
const perPage = 50

// overview lists images.
type overview struct {
	Query        string
	Rows         []row
	Found, Total int
	Bytes        int64 // of the blobs of all, each counted
	Disk, Cache  int64
	HasDisk      bool
	Page, Pages  int
	Before, Next string // queries; "" for none
}

// row is one root.
type row struct {
	Root      string // ciq
	Names     []string
	Current   []string // local names that are it
	Size      int64
	Published time.Time
	Used      time.Time
	Platforms []string
	Pushed    bool
}

// overview lists the images that q asks for, newest first.
func (p *Page) overview(ctx context.Context, q url.Values) (*overview, error) {
	kept, current, err := p.kept(ctx)
	if err != nil {
		return nil, err
	}
	slices.Reverse(kept)
	o := &overview{Query: q.Get("q"), Total: len(kept)}
	var found []ipfs.Root
	for _, r := range kept {
		o.Bytes += r.Size
		if matches(r, current[r.CID.KeyString()], o.Query) {
			found = append(found, r)
		}
	}
	o.Found, o.Pages = len(found), max((len(found)+perPage-1)/perPage, 1)
	o.Page = 1
	if n, err := strconv.Atoi(q.Get("page")); err == nil {
		o.Page = min(max(n, 1), o.Pages)
	}
	for _, r := range found[(o.Page-1)*perPage : min(o.Page*perPage, len(found))] {
		o.Rows = append(o.Rows, p.row(ctx, r, current[r.CID.KeyString()]))
	}
	if o.Page > 1 {
		o.Before = pageQuery(o.Query, o.Page-1)
	}
	if o.Page < o.Pages {
		o.Next = pageQuery(o.Query, o.Page+1)
	}
	if p.cfg.Disk != nil {
		if o.Disk, o.Cache, err = p.cfg.Disk(); err == nil {
			o.HasDisk = true
		}
	}
	return o, nil
}

func pageQuery(text string, page int) string {
	q := url.Values{"page": {strconv.Itoa(page)}}
	if text != "" {
		q.Set("q", text)
	}
	return "?" + q.Encode()
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

// matches tells whether a root is asked for by a part of a name, or its CID.
func matches(r ipfs.Root, current []string, query string) bool {
	query = strings.TrimSpace(query)
	if query == "" {
		return true
	}
	if root, err := ref.ParseName(query); err == nil && root.Root.Equals(r.CID) {
		return true
	}
	return slices.ContainsFunc(append(current, r.Names...), func(name string) bool { return strings.Contains(name, query) }) ||
		strings.HasPrefix(ref.Ciq(r.CID), query)
}

func (p *Page) row(ctx context.Context, r ipfs.Root, current []string) row {
	out := row{Root: ref.Ciq(r.CID), Current: current, Size: r.Size, Published: r.Published, Pushed: r.Pushed}
	for _, name := range r.Names {
		if !slices.Contains(current, name) {
			out.Names = append(out.Names, name)
		}
	}
	if p.cfg.LastUse != nil {
		out.Used = p.cfg.LastUse(r.CID)
	}
	if i, err := p.inspect(ctx, r.CID); err == nil {
		out.Platforms = i.platforms
	}
	return out
}
