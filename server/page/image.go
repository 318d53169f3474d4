package page

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
)

// imageView is one root, or as much of it as stands on one document.
type imageView struct {
	Title    string
	Root     row
	Spelling ref.Spellings
	Sections []section
	Page     int // counted from 1
	Pages    int
	Before   string // queries; "" for none
	Next     string
	Sharing  *sharing
	Broken   string // why the root could not be read as a whole
}

// image shows a root, which has to be one that may be seen. Errors match [ErrNoView], or say
// that the root cannot be read now; one that is damaged is shown as that.
func (p *Page) image(ctx context.Context, q url.Values, a Asker) (*imageView, error) {
	kept, current, root, err := p.find(ctx, q.Get("root"))
	if err != nil {
		return nil, err
	}
	i, err := p.inspect(ctx, root.CID)
	if err != nil && !settled(err) { // nothing is wrong with the image
		return nil, err
	}
	v := &imageView{Root: p.head(root, current[root.CID.KeyString()]), Spelling: ref.Spell(root.CID)}
	v.Title = cmp.Or(firstOf(v.Root.Current), firstOf(v.Root.Names), "Image without a name")
	if err != nil {
		v.Broken = p.cfg.Say(err.Error())
		return v, nil
	}
	found, at, pages := i.page(pageOf(q))
	v.Sections, v.Page, v.Pages = i.sections(found, a.Host, a.Secure), at, pages
	for n := range v.Sections {
		for at, absent := range v.Sections[n].Absent { // errors are in it
			v.Sections[n].Absent[at] = p.cfg.Say(absent)
		}
	}
	v.Before, v.Next = turns(url.Values{"root": {v.Root.Root}}, at, pages)
	v.Sharing = p.compare(ctx, root, kept)
	return v, nil
}

// pageOf is the number of the document that a query asks for; 1 where it asks for none.
func pageOf(q url.Values) int {
	n, err := strconv.Atoi(q.Get("page"))
	if err != nil {
		return 1
	}
	return max(n, 1)
}

// turns are the queries of the documents before and behind one; "" for none.
func turns(q url.Values, at, pages int) (before, next string) {
	to := func(n int) string {
		q.Set("page", strconv.Itoa(n))
		return "?" + q.Encode()
	}
	if at > 1 {
		before = to(at - 1)
	}
	if at < pages {
		next = to(at + 1)
	}
	return before, next
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

// engines is by how many programs lines to pull an image are given at most.
const engines = 6

// line is what pulls an image by one engine.
type line struct{ Engine, Command string }

// pullLines are the commands by which engines pull a name; of an artifact, which no engine
// takes, those by which programs copy it.
func pullLines(pull ref.Name, artifact, secure bool) []line {
	name := shellWord(pull.String())
	plain := map[bool][3]string{true: {}, false: {" --tls-verify=false", " --plain-http", " --insecure-registry"}}[secure]
	tagged := name
	if pull.Tag == "" && pull.Digest == "" {
		tagged += ":latest" // ctr, nerdctl and oras take nothing for granted
	}
	own := pull
	own.Host = ""
	skopeo := line{"skopeo", "skopeo copy" + map[bool]string{false: " --src-tls-verify=false"}[secure] + " docker://" + tagged + " oci:image"}
	if artifact {
		return []line{
			{"oras", "oras copy" + map[bool]string{false: " --from-plain-http"}[secure] + " " + tagged + " --to-oci-layout image:latest"},
			skopeo,
			{"image2ipfs", "image2ipfs pull --to oci:image " + shellWord(own.String())},
		}
	}
	return []line{
		{"docker", "docker pull " + name},
		{"podman", "podman pull" + plain[0] + " " + name},
		{"containerd", "ctr image pull" + plain[1] + " " + tagged},
		{"nerdctl", "nerdctl pull" + plain[2] + " " + tagged},
		skopeo,
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
