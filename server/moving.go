package server

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// findMoving finds a name that moves in the name of a repository, or else at the start of
// the host that a mirror is told by ns; "" for none. Nobody is asked.
func (s *Server) findMoving(name, ns string) (moving, repository string) {
	if s.cfg.Names == nil {
		return "", ""
	}
	moving, repository, host, err := ref.SplitMoving(strings.Split(name, "/"), s.cfg.Names.Listed)
	if err == nil && host == "" {
		return moving, repository
	}
	host, rest, _ := strings.Cut(ns, "/")
	host, _, _ = strings.Cut(host, ":")
	if moving, _, _, err = ref.SplitMoving([]string{host}, s.cfg.Names.Listed); err != nil {
		return "", ""
	}
	if rest = strings.Trim(rest, "/"); rest != "" {
		name = rest + "/" + name
	}
	return moving, name
}

// serveMoving serves a request below a name that moves: by tag what it means now, by
// digest also what it meant before, so that a pull goes on while the name moves.
func (s *Server) serveMoving(w *response, q *request, kind string) error {
	m, err := s.meaning(q.Request, q.moving)
	if err != nil {
		return err
	}
	if !byDigest(kind, q.reference) {
		setAge(w.Header(), m)
		q.root = m.Root
		err := s.serveRoot(w, q, kind)
		if isUntrusted(err) && w.status == 0 {
			return s.serveSigned(w, q, kind, m.Before, err)
		}
		return err
	}
	var first error
	before := s.signatures.kept.Before(q.moving, m.Before)
	for i, root := range slices.Concat([]cid.Cid{m.Root}, before) {
		q.root, q.older = root, i < len(before)
		err := s.serveRoot(w, q, kind)
		if first == nil {
			first = err
		}
		if err == nil {
			return nil
		}
		if w.status != 0 || q.Context().Err() != nil || !mayBeOlder(err) {
			break
		}
	}
	return first
}

// mayBeOlder tells whether what the newest root does not give may be had of one before:
// it is not there, or that root is not served, or cannot be reached.
func mayBeOlder(err error) bool {
	var e *apiError
	return errors.As(err, &e) && slices.Contains([]int{http.StatusNotFound, http.StatusForbidden, http.StatusServiceUnavailable}, e.httpStatus())
}

// whoIsAsked says who is asked for a request what a name means: for strangers those that
// are asked for everyone, for another server that asks nobody, or two that are each other's
// source would wait for each other (RFC 8586).
func whoIsAsked(r *http.Request) ipfs.Askable {
	for one := range strings.SplitSeq(strings.Join(r.Header.Values("CDN-Loop"), ","), ",") {
		id, _, _ := strings.Cut(one, ";")
		if strings.TrimSpace(id) == ipfs.LoopID {
			return ipfs.AskNobody
		}
	}
	if mayFetch(r.Context()) {
		return ipfs.AskAll
	}
	return ipfs.AskPublic
}

// meaning finds what a name that moves means. Strangers' questions have their share.
func (s *Server) meaning(r *http.Request, moving string) (ipfs.Meaning, error) {
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Limits.Open)
	defer cancel()
	if !mayFetch(ctx) {
		release, err := s.memory.Looking.Take(ctx, lookCost)
		if errors.Is(err, budget.ErrFull) {
			return ipfs.Meaning{}, errorf(codeTooMany, "too many names are being looked up: try again: %w", err)
		}
		if err != nil {
			return ipfs.Meaning{}, err
		}
		defer release()
	}
	m, err := s.cfg.Names.Find(ipfs.MayAsk(ctx, whoIsAsked(r)), moving)
	if err != nil {
		return m, absent(codeNameUnknown, err)
	}
	return m, nil
}

// unknownAge is told of answers of which it is not known how old they are: nobody takes
// what is so old for the newest.
const unknownAge = 24 * time.Hour

// setAge tells how old an answer is (RFC 9111, "Age").
func setAge(h http.Header, m ipfs.Meaning) {
	age := time.Since(m.Got)
	if m.Got.IsZero() { // it is not known
		age = unknownAge
	}
	h.Set("Age", strconv.FormatInt(max(int64(age/time.Second), 0), 10))
}

// movingTags are the tags of a repository below a name that moves, where it must be one
// of the layout's.
func (r *request) movingTags(l reader) ([]string, error) {
	below, ok := l.(interface {
		MovingTags(ctx context.Context, repository string) ([]string, error)
	})
	if !ok {
		return nil, errorf(codeNameUnknown, "%s is no image of a published root", r.name)
	}
	return below.MovingTags(r.Context(), r.repository)
}

// ipnsRecord serves /ipns/<name>?format=ipns-record (trustless gateway specification,
// "application/vnd.ipfs.ipns-record"), so that one image2ipfs can be another's gateway.
func (s *Server) ipnsRecord(w *response, r *http.Request) error {
	spelled := strings.TrimPrefix(r.URL.Path, "/ipns/")
	name, err := ref.ParseIPNS(spelled)
	if err != nil || s.cfg.Names == nil {
		return errorf(codeNameUnknown, "%q is no IPNS name that is known here", clip(spelled))
	}
	if r.URL.Query().Get("format") != "ipns-record" && !strings.Contains(r.Header.Get("Accept"), ipfs.TypeRecord) {
		return errorf(codeNotAcceptable, "of IPNS names records are served, by ?format=ipns-record, and images below /v2/%s/", name)
	}
	m, err := s.meaning(r, name)
	if err != nil {
		return err
	}
	if err := s.permit(r.Context(), m.Root); err != nil {
		return err
	}
	if err := s.anySigned(r.Context(), m.Root); err != nil {
		return err
	}
	h := w.Header()
	setAge(h, m)
	h.Set("Content-Type", ipfs.TypeRecord)
	h.Set("Content-Disposition", `attachment; filename="`+name+`.ipns-record"`)
	h.Set("Cache-Control", "public, max-age="+strconv.FormatInt(max(int64(m.Fresh.Sub(m.Got)/time.Second), 0), 10))
	w.source = "record"
	return serveContent(w, r, bytes.NewReader(m.Record))
}

// MovedName is a name that moves, and what it means since a push.
type MovedName struct {
	Name string // base36
	Root cid.Cid
	Tag  string // that it follows, of the repository
}

// moveNames moves the names that follow what was pushed, and tells who pushed
// (distribution-spec, "Warnings"). What cannot be moved takes nothing from the push.
func (s *Server) moveNames(w *response, r *request, result pushed.Result) {
	if s.cfg.Moved == nil {
		return
	}
	h := w.Header()
	all, err := s.cfg.Moved(context.WithoutCancel(r.Context()), r.name, result)
	s.metrics.moved.WithLabelValues("moved").Add(float64(len(all)))
	for _, m := range all {
		pull := ref.Name{Host: s.registryHost(r.Request), Root: m.Root, Moving: m.Name, Repository: r.name, Tag: m.Tag}.String()
		h.Add("Image2ipfs-Moved", pull)
		h.Add("Warning", "299 - "+strconv.Quote(r.name+":"+m.Tag+" is "+pull+" until the next push"))
		s.log.Info("name moved", "name", m.Name, "to", r.name+":"+m.Tag, "cid", m.Root.String())
	}
	if err != nil {
		h.Add("Warning", "299 - "+strconv.Quote(clip(clientText(err.Error(), s.cfg.Dir))))
		s.metrics.moved.WithLabelValues("failed").Inc()
		s.log.Warn("a name was not moved", "error", err)
	}
}
