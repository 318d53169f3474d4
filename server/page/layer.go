package page

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/layer"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
)

const (
	// maxText is how much of a file is shown, in bytes.
	maxText = 256 << 10
	// maxFilesShown is how many files of a directory a document lists, as long as their
	// names, and the links to them, have no more than maxFilesText bytes.
	maxFilesShown = 1000
	maxFilesText  = 512 << 10
	// maxSteps is how many directories on the way to what is shown are named.
	maxSteps = 30
	// maxListingBytes is what may be kept of what is in layers, a quarter of it for one.
	maxListingBytes = 100 << 20
	// readCost is what the reading of a layer takes: what is listed of it, and the
	// window of its compression.
	readCost = 32 << 20
	// blocksAhead is how many blocks of a layer are read ahead.
	blocksAhead = 4
)

// layerView is what is inside a layer: a directory, or a file.
type layerView struct {
	Root, Layer string
	Image       string // what the root is called
	MediaType   string
	Size        int64
	Indexed     bool
	Cut         bool // not all files of the layer are known
	Way         []step
	Files       []file
	First, Of   int    // the number of the first of Files, from 1, and how many there are
	Page, Pages int    // counted from 1
	Before      string // queries; "" for none
	Next        string

	IsFile bool
	File   file
	Text   string
	Binary bool
	Short  bool // there is more than is shown
}

// step is a directory on the way to what is shown.
type step struct{ Name, Query string }

// file is one of a directory.
type file struct {
	Name, Kind, Link, Mode string
	Size                   int64
	Query                  string // what shows it; "" for nothing
}

// listings keep what is in some layers.
type listings struct {
	reading chan struct{} // has room for the one who reads a layer: one at a time, for all who ask
	memory  *budget.Budget
	kept    *budget.Cache[digest.Digest, *layer.Listing]
}

func newListings(memory *budget.Budget) *listings {
	return &listings{reading: make(chan struct{}, 1), memory: memory, kept: budget.NewCache[digest.Digest, *layer.Listing](maxListingBytes, 1, memory)}
}

// begin waits until nobody reads a layer and there is memory for it, or ctx is done; end
// has the next one read. The error matches ctx's, or [budget.ErrFull].
func (s *listings) begin(ctx context.Context) (end func(), err error) {
	select {
	case s.reading <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	release, err := s.memory.Inflating.Take(ctx, readCost)
	if err != nil {
		<-s.reading
		return nil, err
	}
	return func() {
		release()
		<-s.reading
	}, nil
}

// listingCost is about how many bytes of memory a listing takes.
func listingCost(l *layer.Listing) int64 {
	n := int64(1 << 10)
	for _, f := range l.Files {
		n += 160 + int64(len(f.Name)+len(f.Link))
	}
	return n
}

// layer shows what is inside a layer of an image that may be seen.
func (p *Page) layer(ctx context.Context, q url.Values) (*layerView, error) {
	_, current, root, err := p.find(ctx, q.Get("root"))
	if err != nil {
		return nil, err
	}
	i, err := p.inspect(ctx, root.CID)
	if err != nil {
		return nil, err
	}
	desc, ok := i.layer(digest.Digest(q.Get("layer")))
	if !ok {
		return nil, fmt.Errorf("%w: no image of %s has the layer %q", ErrNoView, ref.Ciq(root.CID), q.Get("layer"))
	}
	l, err := layout.Open(ctx, p.cfg.Local, root.CID)
	if err != nil {
		return nil, err
	}
	blob, err := l.Files().Open(ctx, desc.Digest, blocksAhead)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	v := &layerView{Root: ref.Ciq(root.CID), Layer: desc.Digest.String(), MediaType: desc.MediaType, Size: blob.Size(), Image: cmp.Or(firstOf(current[root.CID.KeyString()]), firstOf(root.Names), "image")}
	list, err := p.layers.list(ctx, blob, desc)
	if errors.Is(err, layer.ErrMalformed) {
		err = fmt.Errorf("%w: %w", ErrNoView, err)
	}
	if err != nil {
		return nil, fmt.Errorf("the files of layer %s cannot be listed: %w", desc.Digest, err)
	}
	v.Indexed, v.Cut = list.Indexed, list.Cut
	name := strings.Trim(path.Clean("/"+q.Get("path")), "/")
	f, ok := list.Find(name)
	if ok && f.Kind != "dir" {
		v.way(name)
		v.IsFile, v.File = true, v.file(f, path.Base(name))
		return v, p.layers.read(ctx, v, list, blob, f)
	}
	found := below(list, name)
	if len(found) == 0 && name != "" && !ok {
		return nil, notListed(list, name)
	}
	v.way(name)
	v.list(found, pageOf(q))
	v.Before, v.Next = turns(v.values(name), v.Page, v.Pages)
	return v, nil
}

// notListed is about a file that is not among those of a layer. It matches [ErrNoView].
func notListed(l *layer.Listing, name string) error {
	if l.Cut {
		return fmt.Errorf("%w: %q is not among the first %d files of the layer, and it has more, which are not listed", ErrNoView, quoted(name), len(l.Files))
	}
	return fmt.Errorf("%w: %q is not in the layer", ErrNoView, quoted(name))
}

// layer finds the descriptor of a layer.
func (i *inspected) layer(d digest.Digest) (ocispec.Descriptor, bool) {
	for _, image := range i.images {
		for _, m := range image.manifests {
			for _, l := range m.layers {
				if l.Digest == d {
					return l.Descriptor, true
				}
			}
		}
	}
	return ocispec.Descriptor{}, false
}

// list lists the files of a layer.
func (s *listings) list(ctx context.Context, blob *ipfs.File, desc ocispec.Descriptor) (*layer.Listing, error) {
	if known, ok := s.kept.Get(desc.Digest); ok {
		return known, nil
	}
	end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if known, ok := s.kept.Get(desc.Digest); ok {
		return known, nil
	}
	found, err := layer.List(ctx, blob, blob.Size(), desc.Annotations)
	if err != nil {
		return nil, err
	}
	s.kept.Put(desc.Digest, found, listingCost(found))
	return found, nil
}

// title tells this document from others: by the file or directory, the layer and the image.
func (v *layerView) title() string {
	name := "Files of layer"
	if last := v.Way[len(v.Way)-1]; len(v.Way) > 1 {
		name = last.Name + " in layer"
	}
	return name + " " + short(v.Layer) + " of " + v.Image
}

func (v *layerView) values(name string) url.Values {
	q := url.Values{"root": {v.Root}, "layer": {v.Layer}}
	if name != "" {
		q.Set("path", name)
	}
	return q
}

func (v *layerView) query(name string) string { return "?" + v.values(name).Encode() }

// way names the directories on the way to a name: the last, where there are many.
func (v *layerView) way(name string) {
	v.Way = []step{{"/", v.query("")}}
	if name == "" {
		return
	}
	parts := strings.Split(name, "/")
	first := max(len(parts)-maxSteps, 0)
	if first > 0 {
		v.Way = append(v.Way, step{"…", v.query(strings.Join(parts[:first], "/"))})
	}
	for at := first; at < len(parts); at++ {
		v.Way = append(v.Way, step{parts[at], v.query(strings.Join(parts[:at+1], "/"))})
	}
}

func (v *layerView) file(f layer.File, name string) file {
	out := file{Name: name, Kind: f.Kind, Link: f.Link, Mode: fmt.Sprintf("%04o", f.Mode), Size: f.Size}
	if f.Kind == "reg" || f.Kind == "dir" {
		out.Query = v.query(f.Name)
	}
	return out
}

// below is what is in a directory, which need not have an entry of its own: directories
// first, in the order of their names.
func below(l *layer.Listing, dir string) (all []layer.File) {
	found := map[string]layer.File{}
	for _, f := range l.Files {
		below := f.Name
		if dir != "" {
			var ok bool
			if below, ok = strings.CutPrefix(f.Name, dir+"/"); !ok {
				continue
			}
		}
		name, _, deeper := strings.Cut(below, "/")
		switch _, known := found[name]; {
		case name == "" || deeper && known:
		case deeper:
			found[name] = layer.File{Name: strings.TrimPrefix(dir+"/"+name, "/"), Kind: "dir", Mode: 0o755}
		default:
			found[name] = f
		}
	}
	all = slices.Collect(maps.Values(found))
	slices.SortFunc(all, func(a, b layer.File) int {
		return cmp.Or(-cmp.Compare(boolInt(a.Kind == "dir"), boolInt(b.Kind == "dir")), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// list shows one document's part of the files of a directory.
func (v *layerView) list(all []layer.File, page int) {
	v.Of = len(all)
	starts, files, text := []int{0}, 0, 0
	for n, f := range all {
		cost := 4*len(f.Name) + min(len(f.Link), maxShown) // once as it is, once as a query
		if files == maxFilesShown || files > 0 && text+cost > maxFilesText {
			starts, files, text = append(starts, n), 0, 0
		}
		files, text = files+1, text+cost
	}
	v.Pages = len(starts)
	v.Page = min(page, v.Pages)
	starts = append(starts, len(all))
	v.First = starts[v.Page-1] + 1
	for _, f := range all[starts[v.Page-1]:starts[v.Page]] {
		v.Files = append(v.Files, v.file(f, path.Base(f.Name)))
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// read reads the beginning of a file into v, if it has text.
func (s *listings) read(ctx context.Context, v *layerView, l *layer.Listing, blob *ipfs.File, f layer.File) error {
	if f.Kind != "reg" {
		return nil
	}
	end, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	data, err := l.Content(ctx, blob, f.Name, maxText)
	if errors.Is(err, layer.ErrNoFile) || errors.Is(err, layer.ErrMalformed) {
		return fmt.Errorf("%w: %w", ErrNoView, err)
	}
	if err != nil {
		return err
	}
	v.Short = int64(len(data)) < f.Size
	if v.Short { // perhaps in the middle of a letter
		for cut := 0; cut < utf8.UTFMax && !utf8.Valid(data); cut++ {
			data = data[:len(data)-1]
		}
	}
	if v.Binary = !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0; !v.Binary {
		v.Text = string(data)
	}
	return nil
}
