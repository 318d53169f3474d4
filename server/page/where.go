package page

import (
	"cmp"
	"context"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs/holders"
	"github.com/image2ipfs/image2ipfs/oci"
)

// Where finds out who has an image: this server, and with others those whom it may ask.
// Errors are those of [holders.New].
type Where func(ctx context.Context, root cid.Cid, others bool) (*holders.Search, error)

// whereView is who has one image.
type whereView struct {
	Root, Image string
	Asked       bool // others, too
	Known       bool // what the image consists of
	Whole       string
	Rows        []holderRow
	Lacking     []digest.Digest
}

// holderRow is one who may have it.
type holderRow struct {
	Kind, Name     string
	Addrs          []string
	Has            string
	Blobs, Bytes   string // "" when that is not known
	How, Complaint string
}

// said says what somebody has.
var said = map[string]string{
	holders.All: "all of it", holders.Some: "a part", holders.None: "nothing", holders.Root: "its root", holders.Unknown: "not known",
}

// kinds say who somebody is.
var kinds = map[string]string{
	holders.Store: "store", holders.Cache: "cache", holders.Kubo: "Kubo", holders.Peer: "peer",
	holders.Provider: "named by others", holders.Gateway: "gateway",
}

// where asks who has a root that may be seen. One is asked about at a time: what it asks
// of others must not grow with the number of those who look.
func (p *Page) where(ctx context.Context, text string, a Asker) (*whereView, error) {
	if p.cfg.Where == nil {
		return nil, fmt.Errorf("%w: this server does not ask who has an image", ErrNoView)
	}
	_, current, root, err := p.find(ctx, text)
	if err != nil {
		return nil, err
	}
	select {
	case p.asking <- struct{}{}:
		defer func() { <-p.asking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	v := &whereView{Asked: p.cfg.MayAsk == nil || p.cfg.MayAsk(ctx)}
	s, err := p.cfg.Where(ctx, root.CID, v.Asked)
	if err != nil {
		return nil, err
	}
	shown := p.head(root, current[root.CID.KeyString()])
	v.Root, v.Image = shown.Root, cmp.Or(firstOf(shown.Current), firstOf(shown.Names), short(shown.Root))
	v.Known, v.Lacking = s.Known, s.Lacking()
	whole := s.Image.Whole().Part()
	if s.Known {
		v.Whole = fmt.Sprintf("%s, %s", countText(whole.Blobs, "blob"), oci.BytesText(whole.Bytes))
	}
	for _, h := range s.Holders {
		r := holderRow{Kind: cmp.Or(kinds[h.Kind], h.Kind), Name: h.Name, Addrs: h.Addrs, Has: cmp.Or(said[h.Has], h.Has), How: h.How, Complaint: p.cfg.Say(h.Error)}
		if !a.Here {
			r.Addrs = nil
		}
		if h.Part != nil {
			r.Blobs, r.Bytes = fmt.Sprintf("%d of %d", h.Part.Blobs, whole.Blobs), oci.BytesText(h.Part.Bytes)
		}
		v.Rows = append(v.Rows, r)
	}
	return v, nil
}
