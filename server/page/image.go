package page

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/layout"
)

// imageView is one root.
type imageView struct {
	Title    string
	Root     row
	Spelling ref.Spellings
	Images   []image
	Shares   []share
	Compared int    // with how many others
	More     int    // that were not compared
	Broken   string // why the root could not be read as a whole
}

// image is one image of a root.
type image struct {
	Digest    digest.Digest
	Names     []string
	Kind      string // what it is where it is no image
	Lines     []line
	Manifests []manifest
	Absent    []string
}

// line is what pulls an image by one engine.
type line struct{ Engine, Command string }

// manifest is what is pulled for one platform.
type manifest struct {
	Digest    digest.Digest
	Platform  string
	Layers    []ocispec.Descriptor
	Config    ocispec.Descriptor
	Referrers []ocispec.Descriptor
}

// Size is what a pull of all layers and the config moves at most.
func (m manifest) Size() (n int64) {
	for _, l := range m.Layers {
		n += max(l.Size, 0)
	}
	return n + max(m.Config.Size, 0)
}

// maxInspectedBytes is what may be kept of what is in roots, a quarter of it for one.
const maxInspectedBytes = 16 << 20

// inspected is what is in a root, which never changes.
type inspected struct {
	images    []image
	platforms []string
	lines     []layout.Line
}

// cost is about how many bytes of memory it takes.
func (i *inspected) cost() int64 {
	n := int64(1 << 10)
	for _, one := range i.images {
		n += textCost(one.Names...) + textCost(one.Absent...) + 256
		for _, m := range one.Manifests {
			n += descriptorCost(m.Config) + descriptorCost(m.Layers...) + descriptorCost(m.Referrers...) + 256
		}
	}
	for _, l := range i.lines {
		n += 512 + int64(len(l.Pull.String())) + descriptorCost(l.Image.Descriptor)
	}
	return n
}

func textCost(all ...string) (n int64) {
	for _, text := range all {
		n += int64(len(text)) + 16
	}
	return n
}

func descriptorCost(all ...ocispec.Descriptor) (n int64) {
	for _, d := range all {
		n += 256 + int64(len(d.MediaType)+len(d.Digest)+len(d.Data)+len(d.ArtifactType)) + textCost(d.URLs...)
		for key, value := range d.Annotations {
			n += textCost(key, value) + 32
		}
	}
	return n
}

// inspect reads what is in a root.
func (p *Page) inspect(ctx context.Context, root cid.Cid) (*inspected, error) {
	if _, err := p.cfg.Local.Get(ctx, root); err != nil {
		return nil, err // removed, perhaps
	}
	if known, ok := p.images.Get(root); ok {
		return known, nil
	}
	l, err := layout.Open(ctx, p.cfg.Local, root)
	if err != nil {
		return nil, err
	}
	found, err := l.Inspect(ctx)
	if err != nil {
		return nil, err
	}
	i := &inspected{}
	if i.lines, err = l.Lines(ctx); err != nil {
		return nil, err
	}
	platforms := map[string]bool{}
	for _, f := range found.Images {
		i.images = append(i.images, imageOf(ctx, l, f))
		for _, m := range f.Manifests {
			platforms[m.Platform] = m.Platform != "" && m.Platform != "unknown/unknown"
		}
	}
	maps.DeleteFunc(platforms, func(_ string, is bool) bool { return !is })
	i.platforms = slices.Sorted(maps.Keys(platforms))
	p.images.Put(root, i, i.cost())
	return i, nil
}

func imageOf(ctx context.Context, l *layout.Layout, f layout.InspectedImage) image {
	out := image{Digest: f.Descriptor.Digest, Absent: f.Absent}
	for _, n := range f.Names {
		out.Names = append(out.Names, n.String())
	}
	if f.Artifact != nil {
		out.Kind = f.Artifact.Is
	}
	for _, m := range f.Manifests {
		shown := manifest{Digest: m.Digest, Platform: m.Platform, Layers: m.Layers, Config: m.Config}
		if found, err := l.Referrers(ctx, m.Digest); err == nil { // else it is not known, as in a damaged layout
			shown.Referrers = found
		}
		out.Manifests = append(out.Manifests, shown)
	}
	if found, err := l.Referrers(ctx, f.Descriptor.Digest); err == nil && len(found) > 0 && !slices.ContainsFunc(out.Manifests, func(m manifest) bool { return m.Digest == f.Descriptor.Digest }) {
		out.Manifests = append([]manifest{{Digest: f.Descriptor.Digest, Platform: "all", Referrers: found}}, out.Manifests...)
	}
	return out
}

// image shows a root, which has to be one that may be seen.
func (p *Page) image(ctx context.Context, text, host string, secure bool) (*imageView, error) {
	kept, current, root, err := p.find(ctx, text)
	if err != nil {
		return nil, err
	}
	i, err := p.inspect(ctx, root.CID)
	if errors.Is(err, budget.ErrFull) { // nothing is wrong with the image
		return nil, err
	}
	v := &imageView{Root: p.row(ctx, root, current[root.CID.KeyString()]), Spelling: ref.Spell(root.CID)}
	v.Title = cmp.Or(firstOf(v.Root.Current), firstOf(v.Root.Names), "Image without a name")
	if err != nil {
		v.Broken = err.Error()
		return v, nil
	}
	v.Images = slices.Clone(i.images)
	for n := range v.Images {
		for _, l := range i.lines {
			if l.Image.Descriptor.Digest == v.Images[n].Digest {
				l.Pull.Host = host
				v.Images[n].Lines = append(v.Images[n].Lines, pullLines(l, secure)...)
			}
		}
	}
	v.Shares, v.Compared, v.More = p.sharing(ctx, root, kept)
	return v, nil
}

func firstOf(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// find finds a root among those that may be seen.
func (p *Page) find(ctx context.Context, text string) (kept []ipfs.Root, current map[string][]string, root ipfs.Root, err error) {
	c, err := ref.ParseRoot(text)
	if err != nil {
		return nil, nil, root, fmt.Errorf("%w: %w", ErrNoView, err)
	}
	if kept, current, err = p.kept(ctx); err != nil {
		return nil, nil, root, err
	}
	i := slices.IndexFunc(kept, func(r ipfs.Root) bool { return string(r.CID.Hash()) == string(c.Hash()) })
	if i < 0 {
		return nil, nil, root, fmt.Errorf("%w: %s is not published here", ErrNoView, text)
	}
	return kept, current, kept[i], nil
}

// pullLines are the commands by which engines pull a name.
func pullLines(l layout.Line, secure bool) []line {
	name := shellWord(l.Pull.String())
	plain := map[bool][3]string{true: {}, false: {" --tls-verify=false", " --plain-http", " --insecure-registry"}}[secure]
	tagged := name
	if l.Pull.Tag == "" && l.Pull.Digest == "" {
		tagged += ":latest" // ctr and nerdctl take nothing for granted
	}
	own := l.Pull
	own.Host = ""
	return []line{
		{"docker", "docker pull " + name},
		{"podman", "podman pull" + plain[0] + " " + name},
		{"containerd", "ctr image pull" + plain[1] + " " + tagged},
		{"nerdctl", "nerdctl pull" + plain[2] + " " + tagged},
		{"skopeo", "skopeo copy" + map[bool]string{false: " --src-tls-verify=false"}[secure] + " docker://" + tagged + " oci:image"},
		{"image2ipfs", "image2ipfs pull " + shellWord(own.String())},
	}
}

// plainWord matches what a shell takes as it is.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9._:/@\[\]-]+$`)

// shellWord is text as one word for a shell: whoever copies a line must not run what a name
// has in it.
func shellWord(text string) string {
	if plainWord.MatchString(text) && !strings.HasPrefix(text, "-") {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// share is what an image has in common with another.
type share struct {
	Root   string
	Names  []string
	Shared int64 // bytes of blocks that both have
	Moves  int64 // bytes that an update from the other to this one moves
}

const (
	maxCompared   = 200             // others that an image is compared with
	comparing     = 5 * time.Second // for which that is done
	comparingCost = 2 << 20         // bytes that listing the blocks of one takes
)

const (
	// maxShareBytes is what is kept of the blocks of roots that were compared, shareCost
	// what one takes, maxShareBlocks how many of one root are looked at.
	maxShareBytes  = 64 << 20
	shareCost      = 128
	maxShareBlocks = maxShareBytes / 4 / shareCost
)

// errManyBlocks is about a root that is not compared.
var errManyBlocks = fmt.Errorf("it has more than %d blocks", maxShareBlocks)

// blocks are the sizes of a root's blocks by multihash.
func (p *Page) blocks(ctx context.Context, root cid.Cid) (map[string]int64, error) {
	if known, ok := p.shares.Get(root); ok {
		return known, nil
	}
	release, err := p.cfg.Memory.Looking.Take(ctx, comparingCost)
	if err != nil {
		return nil, err
	}
	defer release()
	found := map[string]int64{}
	err = ipfs.Blocks(ctx, p.cfg.Local, root, 0, func(c cid.Cid, size int64) bool {
		found[string(c.Hash())] = size
		return len(found) <= maxShareBlocks
	})
	if err == nil && len(found) > maxShareBlocks {
		err = errManyBlocks
	}
	if err != nil {
		return nil, err
	}
	p.shares.Put(root, found, int64(len(found))*shareCost)
	return found, nil
}

// sharing compares a root with the others, the newest first, as far as time allows.
// More are left out, as those that cannot be read are.
func (p *Page) sharing(ctx context.Context, root ipfs.Root, kept []ipfs.Root) (found []share, compared, more int) {
	ctx, cancel := context.WithTimeout(ctx, comparing)
	defer cancel()
	mine, err := p.blocks(ctx, root.CID)
	if err != nil {
		return nil, 0, len(kept) - 1
	}
	var total int64
	for _, size := range mine {
		total += size
	}
	for _, other := range slices.Backward(kept) {
		if other.CID.Equals(root.CID) {
			continue
		}
		if compared >= maxCompared || ctx.Err() != nil {
			break
		}
		theirs, err := p.blocks(ctx, other.CID)
		if err != nil {
			continue
		}
		compared++
		s := share{Root: ref.Ciq(other.CID), Names: other.Names}
		for key := range theirs {
			s.Shared += mine[key]
		}
		s.Moves = total - s.Shared
		if s.Shared > trifle {
			found = append(found, s)
		}
	}
	slices.SortStableFunc(found, func(a, b share) int { return cmp.Compare(b.Shared, a.Shared) })
	return found, compared, len(kept) - 1 - compared
}

// trifle is what any two layouts have in common, in bytes: the oci-layout file.
const trifle = 64
