package server

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// tags serves /v2/<name>/tags/list (distribution-spec, "Listing Tags").
func (s *Server) tags(w *response, r *request) error {
	l, err := s.openNamed(r)
	if err != nil {
		return err
	}
	var tags []string
	if r.moving == "" {
		tags, err = l.Tags(r.Context(), r.repository)
	} else {
		tags, err = r.movingTags(l)
	}
	r.cacheList(w.Header())
	if err != nil {
		return absent(codeNameUnknown, err)
	}
	page, err := paged(w, r.Request, tags)
	if err != nil {
		return err
	}
	return serveJSON(w, r.Request, "application/json", map[string]any{"name": r.name, "tags": page})
}

// cacheList has lists of names that may mean another thing in a moment asked for anew.
func (r *request) cacheList(h http.Header) {
	if r.local != nil || r.moving != "" {
		h.Set("Cache-Control", cacheMoving)
	}
}

// paged is the part of a sorted list that a request asks for by n and last, never
// nil; the answer's header points to the next.
func paged(w *response, r *http.Request, all []string) ([]string, error) {
	query := r.URL.Query()
	if last := query.Get("last"); last != "" {
		i, found := slices.BinarySearch(all, last)
		if found {
			i++
		}
		all = all[i:]
	}
	if query.Has("n") {
		n, err := strconv.Atoi(query.Get("n"))
		if err != nil || n < 0 {
			return nil, errorf(codeNumberInvalid, "n is %q, expected a number from 0 on", query.Get("n"))
		}
		if n < len(all) {
			if all = all[:n]; n > 0 {
				linkNext(w.Header(), r.URL, all[n-1])
			}
		}
	}
	return append([]string{}, all...), nil
}

// linkNext points to the page behind last (RFC 8288).
func linkNext(h http.Header, u *url.URL, last string) {
	query := u.Query()
	query.Set("last", last)
	next := url.URL{Path: u.Path, RawQuery: query.Encode()}
	h.Set("Link", "<"+next.String()+`>; rel="next"`)
}

// serveJSON answers with v; HEAD with the same header.
func serveJSON(w *response, r *http.Request, mediaType string, v any) error {
	var text bytes.Buffer
	to := json.NewEncoder(&text)
	to.SetEscapeHTML(false) // which would make six bytes of one
	if err := to.Encode(v); err != nil {
		return err
	}
	data := bytes.TrimSuffix(text.Bytes(), []byte("\n"))
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(data)))
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", cacheTag)
	}
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	_, err := w.Write(data)
	return err
}
