package server

import (
	"cmp"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/image2ipfs/image2ipfs/ipfs/car"
)

// Forms in which what lies below /ipfs/ is served (trustless gateway spec, "format").
const (
	formatFile = "" // the file or directory itself
	formatRaw  = "raw"
	formatCAR  = "car"
)

// notServed are the formats of the path gateway spec that this server leaves to
// other gateways.
var notServed = map[string]bool{"tar": true, "json": true, "cbor": true, "dag-json": true, "dag-cbor": true, "ipns-record": true}

var formatsByType = map[string]string{
	"application/vnd.ipld.raw": formatRaw, car.MediaType: formatCAR,
	"application/x-tar": "tar", "application/vnd.ipld.dag-json": "dag-json", "application/vnd.ipld.dag-cbor": "dag-cbor",
	"application/vnd.ipfs.ipns-record": "ipns-record",
}

// form is how a request wants what it asks for.
type form struct {
	format   string
	order    string // of a CAR's blocks, as the request calls it: empty, dfs or unk
	dups     string // whether a CAR's blocks recur: empty, y or n
	location string // under which the query alone asks for the same; empty where it does
}

// formOf reads in which form a request wants what it asks for: by the query, which
// wins, or by what its Accept likes most (RFC 9110, 12.5.1); of equals the first of
// the forms that have a type of their own. What is not served is 406, and what nobody
// knows 400.
func formOf(r *http.Request) (form, error) {
	query, liked := r.URL.Query(), acceptable(r)
	f, asked := form{}, query.Get("format")
	switch {
	case asked == formatRaw || asked == formatCAR:
		f.format = asked
		if i := slices.IndexFunc(liked, func(l form) bool { return l.format == asked }); i >= 0 {
			f = liked[i]
		}
	case notServed[asked]:
		return form{}, errorf(codeNotAcceptable, "format %s is not served here, only raw and car, and files as they are", asked)
	case asked != "":
		return form{}, errorf(codeNameInvalid, "format is %q, expected raw or car", clip(asked))
	case len(liked) > 0:
		f = liked[0]
	case asksForOthers(r):
		return form{}, errorf(codeNotAcceptable, "none of what the request accepts is served here: application/vnd.ipld.raw and %s (version=1, order=dfs or unk, dups=y or n) are, and files as they are", car.MediaType)
	}
	if f.format != formatFile && (asked == "" || len(liked) > 0 && liked[0].format != asked) {
		f.location = f.at(r.URL)
	}
	return f, f.parameters(query)
}

// parameters reads those of a CAR from the query, which wins over Accept (trustless
// gateway spec, "car-version", "car-order", "car-dups").
func (f *form) parameters(query url.Values) error {
	if f.format != formatCAR {
		return nil
	}
	f.order, f.dups = cmp.Or(query.Get("car-order"), f.order), cmp.Or(query.Get("car-dups"), f.dups)
	if name := servedCAR(map[string]string{"car-version": query.Get("car-version"), "car-order": f.order, "car-dups": f.dups}); name != "" {
		return errorf(codeNameInvalid, "%s is %q, expected %s", name, clip(query.Get(name)), strings.Join(carParameters[name], " or "))
	}
	return nil
}

// carParameters are those of a CAR with what is served of each.
var carParameters = map[string][]string{"car-version": {"1"}, "car-order": {"dfs", "unk"}, "car-dups": {"y", "n"}}

// servedCAR names a parameter with a value that is not served, if there is one.
func servedCAR(values map[string]string) string {
	for name, served := range carParameters {
		if v := values[name]; v != "" && !slices.Contains(served, v) {
			return name
		}
	}
	return ""
}

// at spells u with all that the form is in its query (path gateway spec,
// "Content-Location").
func (f *form) at(u *url.URL) string {
	query := u.Query()
	query.Set("format", f.format)
	for name, value := range map[string]string{"car-order": f.order, "car-dups": f.dups} {
		if value != "" && query.Get(name) == "" {
			query.Set(name, value)
		}
	}
	return (&url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: query.Encode()}).String()
}

// acceptable are the forms of a type of their own that a request accepts and that are
// served, best first; a request that likes a format that is served no more than any
// other type gets that format.
func acceptable(r *http.Request) []form {
	type choice struct {
		form
		q float64
	}
	var choices []choice
	for element := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		mediaType, parameters, q := likedBy(element)
		f := form{format: formatsByType[mediaType]}
		if q == 0 || mediaType == "" || notServed[f.format] {
			continue
		}
		if f.format == formatCAR {
			f.order, f.dups = parameters["order"], parameters["dups"]
			if servedCAR(map[string]string{"car-version": parameters["version"], "car-order": f.order, "car-dups": f.dups}) != "" {
				continue
			}
		}
		choices = append(choices, choice{f, q})
	}
	slices.SortStableFunc(choices, func(a, b choice) int {
		own := func(c choice) int { return min(len(c.format), 1) }
		return cmp.Or(cmp.Compare(b.q, a.q), cmp.Compare(own(b), own(a)))
	})
	forms := make([]form, len(choices))
	for i, c := range choices {
		forms[i] = c.form
	}
	return forms
}

// likedBy reads an element of Accept: its type in lower case, its parameters, and how
// much it is liked.
func likedBy(element string) (mediaType string, parameters map[string]string, q float64) {
	mediaType, parameters, err := mime.ParseMediaType(element)
	if err != nil {
		return "", nil, 0
	}
	q = 1
	if text, ok := parameters["q"]; ok {
		if q, err = strconv.ParseFloat(text, 64); err != nil || q < 0 || q > 1 {
			q = 0
		}
	}
	return mediaType, parameters, q
}

// asksForOthers tells whether a request names a format that is not served, or a CAR
// that is not.
func asksForOthers(r *http.Request) bool {
	for element := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		mediaType, _, q := likedBy(element)
		if f := formatsByType[mediaType]; q > 0 && (notServed[f] || f == formatCAR) {
			return true
		}
	}
	return false
}

// unchanged tells whether a request's If-None-Match has etag (RFC 9110, 13.1.2: by
// weak comparison).
func unchanged(r *http.Request, etag string) bool {
	for one := range strings.SplitSeq(strings.Join(r.Header.Values("If-None-Match"), ","), ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == strings.TrimPrefix(etag, "W/") {
			return true
		}
	}
	return false
}

// onlyIfCached tells whether a request wants what is here already or nothing (path
// gateway spec, "only-if-cached").
func onlyIfCached(r *http.Request) bool {
	for one := range strings.SplitSeq(strings.Join(r.Header.Values("Cache-Control"), ","), ",") {
		if strings.EqualFold(strings.TrimSpace(one), "only-if-cached") {
			return true
		}
	}
	return false
}
