package page

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
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
	// maxFilesShown is how many files of a directory are listed.
	maxFilesShown = 1000
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
	More        int // that are not shown

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
	v.way(name)
	if f, ok := list.Find(name); ok && f.Kind != "dir" {
		v.IsFile, v.File = true, v.file(f, path.Base(name))
		return v, p.layers.read(ctx, v, list, blob, f)
	}
	v.list(list, name)
	if len(v.Files) == 0 && name != "" {
		if _, ok := list.Find(name); !ok {
			return nil, fmt.Errorf("%w: %q is not in the layer", ErrNoView, name)
		}
	}
	return v, nil
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

func (v *layerView) query(name string) string {
	q := url.Values{"root": {v.Root}, "layer": {v.Layer}}
	if name != "" {
		q.Set("path", name)
	}
	return "?" + q.Encode()
}

func (v *layerView) way(name string) {
	v.Way = []step{{"/", v.query("")}}
	for at, part := range strings.Split(name, "/") {
		if part != "" {
			v.Way = append(v.Way, step{part, v.query(strings.Join(strings.Split(name, "/")[:at+1], "/"))})
		}
	}
}

func (v *layerView) file(f layer.File, name string) file {
	out := file{Name: name, Kind: f.Kind, Link: f.Link, Mode: fmt.Sprintf("%04o", f.Mode), Size: f.Size}
	if f.Kind == "reg" || f.Kind == "dir" {
		out.Query = v.query(f.Name)
	}
	return out
}

// list lists a directory, which need not have an entry of its own.
func (v *layerView) list(l *layer.Listing, dir string) {
	found := map[string]file{}
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
			found[name] = v.file(layer.File{Name: strings.TrimPrefix(dir+"/"+name, "/"), Kind: "dir", Mode: 0o755}, name)
		default:
			found[name] = v.file(f, name)
		}
	}
	for _, f := range found {
		v.Files = append(v.Files, f)
	}
	slices.SortFunc(v.Files, func(a, b file) int {
		return cmp.Or(-cmp.Compare(boolInt(a.Kind == "dir"), boolInt(b.Kind == "dir")), cmp.Compare(a.Name, b.Name))
	})
	if v.More = max(len(v.Files)-maxFilesShown, 0); v.More > 0 {
		v.Files = v.Files[:maxFilesShown]
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
