// Package page is what people see of a server in a browser: its images, who shares what
// with whom, what is inside layers, peers, traffic, and pushes as they come. It is one
// HTML document at "/", whose views are chosen by the query, made by templates, with a
// little JavaScript of its own that nothing depends on. All of it is inside the document,
// so the policy (Content Security Policy Level 3) lets nothing else in: no other host, no
// frame, no form's target elsewhere, no style or script but the two that are known by
// their hashes.
package page

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed" // of the document's parts
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// Config says what a page is about. It is asked for each document.
type Config struct {
	// Local are the blocks of the own store, checked.
	Local ipfs.Getter
	// Kept lists the roots that whoever asks may see, oldest first.
	Kept func(ctx context.Context) ([]ipfs.Root, error)
	// Shown gives what tells of which pushes whoever asks may hear; nil for all.
	Shown func(ctx context.Context) func(Push) bool
	// Current lists the local names that each root is now, by [cid.Cid.KeyString]; nil
	// where there are none.
	Current func(ctx context.Context) (map[string][]string, error)
	// LastUse tells when a root was last pulled, zero for unknown; nil where nobody notes
	// that.
	LastUse func(root cid.Cid) time.Time
	// Disk tells how many bytes the store and its cache take; nil where that is not known.
	Disk func() (store, cache int64, err error)
	// Where tells who has an image; nil where nobody is asked. MayAsk says whether others are
	// asked for the request of a context, too; nil for yes.
	Where  Where
	MayAsk func(ctx context.Context) bool
	// Peers lists those that are connected; nil without a network of peers.
	Peers func() []Peer
	// Version is that of the program.
	Version string
	// Memory is what is held for who asks, and what is kept for the next, within; one of
	// 512 MiB when nil.
	Memory *budget.Budget
	// Limited has no more shown than what is about the roots of Kept: neither peers, nor
	// traffic, nor what Disk tells.
	Limited bool
	// Say makes of an error's text what strangers may read; nil for the text as it is.
	Say func(text string) string
}

// Asker is who asks for a document.
type Asker struct {
	Host   string // by which engines name the server
	Secure bool   // they find it by TLS, or nothing says that they do not
	Here   bool   // who asks is on the server's own machine, and may see addresses of others
}

// Peer is a peer that is connected.
type Peer struct {
	ID        string
	Addr      string   // of the connection
	Agent     string   // what it says that it is
	Protocols []string // by which blocks are had from it
	In, Out   int64    // bytes got from it and given to it
}

// Page serves documents. It is safe for concurrent use.
type Page struct {
	cfg     Config
	traffic *Traffic
	pushes  *Pushes
	layers  *listings
	asking  chan struct{} // has room for the one for whom others are asked
	images  *budget.Cache[cid.Cid, *inspected]
	begun   *budget.Cache[cid.Cid, *begun]           // images that were not read in time
	shares  *budget.Cache[cid.Cid, map[string]int64] // sizes of blocks by multihash

	inspecting together[cid.Cid, *inspected]
	listing    together[cid.Cid, map[string]int64] // of blocks
	comparing  chan struct{}                       // has room for those for whom images are compared
}

// New makes a page. Traffic and pushes are whoever's who tells of them.
func New(cfg Config, traffic *Traffic, pushes *Pushes) *Page {
	if cfg.Memory == nil {
		cfg.Memory = budget.New(0)
	}
	if cfg.Limited {
		cfg.Disk, cfg.Peers = nil, nil
	}
	if cfg.Say == nil {
		cfg.Say = func(text string) string { return text }
	}
	return &Page{
		cfg: cfg, traffic: traffic, pushes: pushes, layers: newListings(cfg.Memory), asking: make(chan struct{}, 1), comparing: make(chan struct{}, comparers),
		images: budget.NewCache[cid.Cid, *inspected](maxInspectedBytes, 1, cfg.Memory),
		begun:  budget.NewCache[cid.Cid, *begun](maxInspectedBytes, 1, cfg.Memory),
		shares: budget.NewCache[cid.Cid, map[string]int64](maxShareBytes, 1, cfg.Memory),
	}
}

// Caches tells what the page keeps in memory, by what it is.
func (p *Page) Caches() map[string]budget.Usage {
	return map[string]budget.Usage{"images": p.images.Usage(), "images begun": p.begun.Usage(), "shares": p.shares.Usage(), "layers": p.layers.kept.Usage()}
}

//go:embed page.css
var style string

//go:embed page.js
var script string

//go:embed page.html
var text string

var document = template.Must(template.New("page").Funcs(template.FuncMap{
	"bytes": oci.BytesText, "date": dateText, "iso": isoText, "short": short, "quoted": quoted, "count": countText,
	"style":  func() template.CSS { return template.CSS(style) }, //nolint:gosec // it is our own, not somebody's input
	"script": func() template.JS { return template.JS(script) },  //nolint:gosec // as above
}).Parse(text))

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Policy is the document's Content-Security-Policy.
var Policy = strings.Join([]string{
	"default-src 'none'", "script-src " + hashOf(script), "style-src " + hashOf(style), "connect-src 'self'",
	"base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'",
}, "; ")

// ErrNoView is matched by errors about a query that asks for what there is not.
var ErrNoView = errors.New("no such view")

// view is what a document shows.
type view struct {
	Title   string
	At      string // images, image, layer, where, peers, traffic or error
	Host    string
	Version string
	Pushes  []Push

	Overview   *overview
	Image      *imageView
	Layer      *layerView
	Where      *whereView
	HasWhere   bool
	Peers      []Peer
	OfPeers    int // how many there are
	HasPeers   bool
	Here       bool // for who asks from the server's own machine
	Traffic    *trafficView
	HasTraffic bool
	Error      string
}

// looking bounds how long is read for one document.
const looking = 20 * time.Second

// Serve answers a request for the page. Errors match [ErrNoView] or [budget.ErrFull], or are
// those of the store, and of the request's context.
func (p *Page) Serve(w http.ResponseWriter, r *http.Request, a Asker) error {
	ctx, cancel := context.WithTimeout(r.Context(), looking)
	defer cancel()
	v := p.frame(a)
	v.Version = p.cfg.Version
	if err := p.fill(ctx, v, r.URL.Query(), a); err != nil {
		return err
	}
	return p.write(ctx, w, r, v)
}

// frame is what is the same in all documents.
func (p *Page) frame(a Asker) *view {
	return &view{Host: a.Host, Here: a.Here, HasPeers: p.cfg.Peers != nil, HasWhere: p.cfg.Where != nil, HasTraffic: !p.cfg.Limited}
}

// fill looks up what a query asks for.
func (p *Page) fill(ctx context.Context, v *view, q url.Values, a Asker) (err error) {
	switch {
	case q.Get("root") != "" && q.Get("layer") != "":
		v.At = "layer"
		if v.Layer, err = p.layer(ctx, q); err == nil {
			v.Title = v.Layer.title()
		}
	case q.Get("root") != "" && q.Get("view") == "where":
		v.At = "where"
		if v.Where, err = p.where(ctx, q.Get("root"), a); err == nil {
			v.Title = "Who has " + v.Where.Image
		}
	case q.Get("root") != "":
		v.At = "image"
		if v.Image, err = p.image(ctx, q, a); err == nil {
			v.Title = v.Image.Title
		}
	case p.cfg.Limited && (q.Get("view") == "peers" || q.Get("view") == "traffic"):
		err = fmt.Errorf("%w: this server shows some images alone, and neither peers nor traffic", ErrNoView)
	case q.Get("view") == "peers":
		v.At, v.Title = "peers", "Peers"
		v.Peers, v.OfPeers = p.peers(a)
	case q.Get("view") == "traffic":
		v.At, v.Title = "traffic", "Traffic and store"
		v.Traffic = p.traffic.view()
	case q.Get("view") == "":
		v.At, v.Title = "images", "Images"
		v.Pushes = p.recent(ctx)
		v.Overview, err = p.overview(ctx, q)
	default:
		err = fmt.Errorf("%w: %q", ErrNoView, quoted(q.Get("view")))
	}
	return err
}

// maxPeers is how many peers are listed.
const maxPeers = 500

// peers lists those that are connected, with addresses for who may see them.
func (p *Page) peers(a Asker) (all []Peer, of int) {
	if p.cfg.Peers == nil {
		return nil, 0
	}
	all = p.cfg.Peers()
	of = len(all)
	all = slices.Clone(all[:min(of, maxPeers)])
	for n := range all {
		if !a.Here {
			all[n].Addr = ""
		}
	}
	return all, of
}

// Error is a document about an error, in the frame of the others; status is that of the
// answer, message what strangers may read.
func (p *Page) Error(a Asker, status int, message string) ([]byte, error) {
	v := p.frame(a)
	v.At, v.Title, v.Error = "error", http.StatusText(status), clipped(message, 4*maxShown)
	var out bytes.Buffer
	err := document.Execute(&out, v)
	return out.Bytes(), err
}

// recent lists the last pushes that whoever asks may hear of, newest first.
func (p *Page) recent(ctx context.Context) []Push {
	all := p.pushes.Recent()
	if p.cfg.Shown == nil {
		return all
	}
	shown := p.cfg.Shown(ctx)
	return slices.DeleteFunc(all, func(push Push) bool { return !shown(push) })
}

// write makes a document and sends it. What it takes is held of the budget meanwhile.
func (p *Page) write(ctx context.Context, w http.ResponseWriter, r *http.Request, v *view) error {
	out := &paper{ctx: ctx, memory: p.cfg.Memory.Sending}
	defer out.close()
	if err := document.Execute(out, v); err != nil {
		return err
	}
	h := w.Header()
	Protect(h)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.FormatInt(out.size, 10))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	return out.send(w)
}

// Protect sets the headers that keep other sites away from a document.
func Protect(h http.Header) {
	h.Set("Content-Security-Policy", Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}
