package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
)

// ipfsPath serves /ipfs/<cid>[/path] from the own store, so that one
// image2ipfs can be another's gateway: files and directories, and blocks and
// CARs after the trustless gateway spec. What is not in the store is 404.
func (s *Server) ipfsPath(w *response, r *http.Request) error {
	spelled, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/ipfs/"), "/")
	root, err := decodeCID(spelled)
	if err != nil {
		return errorf(codeNameInvalid, "%q is no CID: %w", clip(spelled), err)
	}
	if r.Header.Get("Service-Worker") == "script" {
		return errorf(codeNameInvalid, "no service worker may be registered for %s: nothing here is a site of its own", clip(r.URL.Path))
	}
	own, err := s.within(r.Context(), root)
	if err != nil {
		return err
	}
	if err := s.present(); err != nil {
		return err
	}
	f, err := formOf(r)
	if err != nil {
		return err
	}
	if err := s.inLayout(own, rest); err != nil {
		return err
	}
	path := &recorder{Getter: own}
	segments, err := ipfs.ResolveAll(r.Context(), path, root, rest)
	if err != nil {
		return s.notHere(r, err)
	}
	if err := s.sameBelow(r, rest, segments, f); err != nil {
		return s.notHere(r, err)
	}
	s.noteUse(r, root)
	target := segments[len(segments)-1]
	h := w.Header()
	h.Set("X-Ipfs-Path", r.URL.EscapedPath())
	setRoots(h, segments)
	h.Set("Cache-Control", cacheForever)
	h.Add("Vary", "Accept")
	if f.location != "" {
		h.Set("Content-Location", f.location)
	}
	w.source = "local"
	switch f.format {
	case formatRaw:
		err = s.rawBlock(w, r, own, target)
	case formatCAR:
		err = s.exportCAR(w, r, own, path.read, target, f)
	default:
		err = s.unixFS(w, r, own, target)
	}
	if err != nil && w.status == 0 && onlyIfCached(r) && isAbsent(err) {
		return s.notHere(r, err)
	}
	return err
}

// notHere is the error about what the own store lacks: 404, or 412 for who wants what
// is here already or nothing (path gateway spec, "only-if-cached").
func (s *Server) notHere(r *http.Request, err error) error {
	err = absent(codeNameUnknown, fmt.Errorf("%s is not in this server's store: %w", clip(r.URL.Path), err))
	if onlyIfCached(r) && isAbsent(err) {
		return errorf(codePrecondition, "only-if-cached: %w", err)
	}
	return err
}

// maxRoots is how many segments of a path are told.
const maxRoots = 32

// setRoots tells the CIDs of a path's segments, for caches (path gateway spec,
// "X-Ipfs-Roots"); a path that has very many does without.
func setRoots(h http.Header, segments []cid.Cid) {
	if len(segments) > maxRoots {
		return
	}
	spelled := make([]string, len(segments))
	for i, c := range segments {
		spelled[i] = c.String()
	}
	h.Set("X-Ipfs-Roots", strings.Join(spelled, ","))
}

// decodeCID reads any CID, and the ciq spelling; CIDv0 becomes v1.
func decodeCID(s string) (cid.Cid, error) {
	if c, err := ref.ParseRoot(s); err == nil {
		return c, nil
	}
	c, err := cid.Decode(s)
	if err != nil {
		return cid.Undef, err
	}
	return cid.NewCidV1(c.Prefix().Codec, c.Hash()), nil
}

func (s *Server) rawBlock(w *response, r *http.Request, own ipfs.Getter, c cid.Cid) error {
	data, err := own.Get(r.Context(), c)
	if err != nil {
		return absent(codeNameUnknown, fmt.Errorf("not in this server's store: %w", err))
	}
	h := w.Header()
	h.Set("Content-Type", "application/vnd.ipld.raw")
	h.Set("Content-Disposition", attachment(r, c.String()+".bin"))
	h.Set("ETag", `"`+c.String()+`.raw"`)
	return serveContent(w, r, bytes.NewReader(data))
}

func (s *Server) unixFS(w *response, r *http.Request, own ipfs.Getter, c cid.Cid) error {
	if codec := c.Prefix().Codec; codec != cid.DagProtobuf && codec != cid.Raw {
		return errorf(codeNameUnknown, "%s is neither a file nor a directory; ask for it with ?format=raw", c)
	}
	dir, err := ipfs.OpenDir(r.Context(), ipfs.Budget(own, maxListedBytes), c)
	if err == nil {
		if !strings.HasSuffix(r.URL.Path, "/") { // so that relative links lead below it
			return moved(w, r)
		}
		return listDir(w, r, dir, c)
	}
	h := w.Header()
	held, release, err := hold(r, own, c)
	var f *blobFile
	if err == nil {
		defer release()
		f, err = s.open(r, held, c, s.cfg.LocalAhead)
	}
	if errors.Is(err, ipfs.ErrCorrupt) { // no file
		if link, failed := ipfs.Symlink(r.Context(), own, c); failed == nil {
			h.Set("ETag", `"`+c.String()+`"`)
			h.Set("Content-Type", "inode/symlink")
			return serveContent(w, r, strings.NewReader(link))
		}
	}
	if err != nil {
		return absent(codeNameUnknown, fmt.Errorf("%s is not in this server's store: %w", clip(r.URL.Path), err))
	}
	defer f.Close()
	h.Set("ETag", `"`+c.String()+`"`)
	h.Set("Content-Type", typeBlob) // never a type that a browser would run
	if name := path.Base(r.URL.Path); path.Ext(name) == ".json" || name == "oci-layout" {
		h.Set("Content-Type", "application/json")
	}
	if value := ofFile(r); value != "" {
		h.Set("Content-Disposition", value)
	}
	return serveFile(w, r, f)
}

// moved sends the client to the same path with a slash at its end (path gateway spec,
// "Location").
func moved(w *response, r *http.Request) error {
	to := url.URL{Path: r.URL.Path + "/", RawQuery: r.URL.RawQuery}
	w.Header().Set("Location", to.String())
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusMovedPermanently)
	return nil
}

// Limits of the listing of a directory; what is beyond is not listed.
const (
	maxListed      = 10_000  // entries
	maxListedBytes = 3 << 20 // of its blocks, of which one may have 2 MiB
)

var errListed = errors.New("enough is listed")

var listing = template.Must(template.New("").Parse(`<!DOCTYPE html>
<meta charset="utf-8"><title>{{.Path}}</title>
<h1>{{.Path}}</h1>
<ul>
{{range .Entries}}<li><a href="{{.URL}}">{{.Name}}</a></li>
{{end}}</ul>
{{if .More}}<p>and more</p>{{end}}
`))

type listedEntry struct{ Name, URL string }

// listDir answers with a page of links.
func listDir(w *response, r *http.Request, dir *ipfs.Dir, c cid.Cid) error {
	base := strings.TrimRight(r.URL.Path, "/")
	page := struct {
		Path    string
		Entries []listedEntry
		More    bool
	}{Path: base}
	err := dir.ForEach(r.Context(), func(name string, _ cid.Cid) error {
		if len(page.Entries) == maxListed {
			return errListed
		}
		u := url.URL{Path: base + "/" + name}
		page.Entries = append(page.Entries, listedEntry{name, u.EscapedPath()})
		return nil
	})
	page.More = errors.Is(err, errListed) || errors.Is(err, ipfs.ErrBudget)
	if err != nil && !page.More {
		return absent(codeNameUnknown, err)
	}
	slices.SortFunc(page.Entries, func(a, b listedEntry) int { return strings.Compare(a.Name, b.Name) })
	var body bytes.Buffer
	if err := listing.Execute(&body, page); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'")
	h.Set("ETag", `"DirIndex-`+c.String()+`"`)
	return serveContent(w, r, bytes.NewReader(body.Bytes()))
}

// hold has what lies below c stay while it is being sent.
func hold(r *http.Request, own ipfs.Getter, c cid.Cid) (ipfs.Getter, func(), error) {
	w, ok := own.(withIdentity)
	if !ok || c.Prefix().MhType == multihash.IDENTITY {
		return own, func() {}, nil
	}
	held, release, err := ipfs.Hold(r.Context(), w.Getter, c)
	return withIdentity{ipfs.First(held, w.Getter)}, release, err
}

// withIdentity adds the blocks whose CID holds the content itself; gateways are
// probed with them.
type withIdentity struct{ ipfs.Getter }

func (g withIdentity) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if c.Prefix().MhType == multihash.IDENTITY {
		mh, err := multihash.Decode(c.Hash())
		if err != nil {
			return nil, fmt.Errorf("%w: block %s: %v", ipfs.ErrCorrupt, c, err)
		}
		return mh.Digest, nil
	}
	return g.Getter.Get(ctx, c)
}

// recorder keeps the CIDs of the blocks that were read through it. It is for one
// goroutine, so not for what reads ahead.
type recorder struct {
	ipfs.Getter
	read []cid.Cid
}

func (g *recorder) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	g.read = append(g.read, c)
	return g.Getter.Get(ctx, c)
}
