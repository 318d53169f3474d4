package server

import (
	"mime"
	"net/http"
	"path"
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

// formatOf reads in which form a request wants what it asks for: by the query, which
// wins, or by what its Accept likes most (RFC 9110, 12.5.1); of equals the first of
// the forms that have a type of their own. What is not served is 406, and what nobody
// knows 400.
func formatOf(r *http.Request) (string, error) {
	if f := r.URL.Query().Get("format"); f != "" {
		switch {
		case f == formatRaw || f == formatCAR:
			return f, nil
		case notServed[f]:
			return "", errorf(codeNotAcceptable, "format %s is not served here, only raw and car, and files as they are", f)
		}
		return "", errorf(codeNameInvalid, "format is %q, expected raw or car", clip(f))
	}
	best, quality := formatFile, 0.0
	for element := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		mediaType, q := likedBy(element)
		f := formatsByType[mediaType]
		if q == 0 || notServed[f] || q < quality || q == quality && (f == formatFile || best != formatFile) {
			continue
		}
		best, quality = f, q
	}
	if quality == 0 && asksForUnserved(r) {
		return "", errorf(codeNotAcceptable, "none of what the request accepts is served here: application/vnd.ipld.raw and %s are, and files as they are", car.MediaType)
	}
	return best, nil
}

// likedBy reads an element of Accept: its type in lower case, and how much it is
// liked.
func likedBy(element string) (mediaType string, q float64) {
	mediaType, parameters, err := mime.ParseMediaType(element)
	if err != nil {
		return "", 0
	}
	q = 1
	if text, ok := parameters["q"]; ok {
		if q, err = strconv.ParseFloat(text, 64); err != nil || q < 0 || q > 1 {
			q = 0
		}
	}
	return mediaType, q
}

// asksForUnserved tells whether a request names a format that is not served.
func asksForUnserved(r *http.Request) bool {
	for element := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		if mediaType, q := likedBy(element); q > 0 && notServed[formatsByType[mediaType]] {
			return true
		}
	}
	return false
}

// attachment is a Content-Disposition with the name that a request gives the file
// (path gateway spec, "filename"), else name.
func attachment(r *http.Request, name string) string {
	if given := path.Base(strings.ReplaceAll(r.URL.Query().Get("filename"), "\\", "/")); given != "." && given != "/" && given != ".." {
		name = given
	}
	if value := mime.FormatMediaType("attachment", map[string]string{"filename": name}); value != "" {
		return value
	}
	return "attachment"
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
