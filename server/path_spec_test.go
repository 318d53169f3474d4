package server

import (
	"net/http"
	"strings"
	"testing"
)

// The tests of this file walk the Path Gateway Specification
// (https://specs.ipfs.tech/http-gateways/path-gateway/), a test for a section; what
// is served to trustless clients stands in trustless_spec_test.go. Left to other
// gateways are /ipns/, tar, the IPLD formats, index.html and denylists.

// "HEAD", "If-None-Match", "Range", "Content-Length", "Accept-Ranges" of files.
func TestPathFiles(t *testing.T) {
	f := newTree(t)
	path := at(f.root, "/sub/chunked")
	got := f.both(path).expect(t, http.StatusOK, "")
	if string(got.body) != string(f.content) || got.ContentLength != int64(len(f.content)) || got.Header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("%d bytes of %d, header %v", len(got.body), len(f.content), got.Header)
	}
	f.both(path, "If-None-Match: "+got.Header.Get("Etag")).expect(t, http.StatusNotModified, "")
	part := f.get(path, "Range: bytes=250-259").expect(t, http.StatusPartialContent, "")
	if string(part.body) != string(f.content[250:260]) || part.Header.Get("Content-Range") != "bytes 250-259/1026" {
		t.Errorf("%q %v", part.body, part.Header)
	}
	f.get(path, "Range: bytes=5000-").expect(t, http.StatusRequestedRangeNotSatisfiable, "")
}

// "X-Ipfs-Path", "X-Ipfs-Roots": the CIDs of the path's segments, without shards.
func TestPathRoots(t *testing.T) {
	f := newTree(t)
	for path, want := range map[string]string{
		at(f.root, "/sub/small"):              f.root.String() + "," + f.sub.String() + "," + f.small.String(),
		at(f.root, "/many/file"):              f.root.String() + "," + f.many.String() + "," + f.chunked.String(),
		at(f.root, "/sub/small?format=raw"):   f.root.String() + "," + f.sub.String() + "," + f.small.String(),
		at(f.root, "/twins/"):                 f.root.String() + "," + f.twins.String(),
		at(f.small, "?format=car&x=y"):        f.small.String(),
		at(f.root, "//sub///small?filename="): f.root.String() + "," + f.sub.String() + "," + f.small.String(),
	} {
		h := f.both(path).expect(t, http.StatusOK, "").Header
		plain, _, _ := strings.Cut(path, "?")
		if h.Get("X-Ipfs-Roots") != want || h.Get("X-Ipfs-Path") != plain {
			t.Errorf("%s: roots %s, path %s", path, h.Get("X-Ipfs-Roots"), h.Get("X-Ipfs-Path"))
		}
	}
}

// "Location": a directory's links lead below it, so its URL ends with a slash.
func TestPathDirectories(t *testing.T) {
	f := newTree(t)
	for from, to := range map[string]string{
		at(f.root, ""): at(f.root, "/"), at(f.root, "/sub?x=a%20b"): at(f.root, "/sub/?x=a%20b"), at(f.many, ""): at(f.many, "/"),
	} {
		if got := f.both(from).expect(t, http.StatusMovedPermanently, ""); got.Header.Get("Location") != to {
			t.Errorf("%s leads to %q, want %q", from, got.Header.Get("Location"), to)
		}
	}
	if got := f.both(at(f.root, "/sub/")).expect(t, http.StatusOK, ""); !strings.Contains(string(got.body), `href="`+at(f.root, "/sub/small")+`"`) {
		t.Errorf("%s", got.body)
	}
	f.both(at(f.root, "/sub?format=raw")).expect(t, http.StatusOK, "") // a block is no page
}

// Symbolic links are served as what they say, and are not followed: where they lead
// is up to who unpacks them (UnixFS, "Symlink").
func TestPathSymlinks(t *testing.T) {
	f := newTree(t)
	got := f.both(at(f.root, "/link")).expect(t, http.StatusOK, "")
	if string(got.body) != "sub/small" || got.Header.Get("Content-Type") != "inode/symlink" {
		t.Errorf("%q %v", got.body, got.Header)
	}
	f.both(at(f.root, "/link/x")).expect(t, http.StatusNotFound, "")
}

// "filename", "download", "Content-Disposition".
func TestPathDisposition(t *testing.T) {
	f := newTree(t)
	for query, want := range map[string]string{
		"":                               "",
		"?filename=a.txt":                `inline; filename="a.txt"`,
		"?filename=a.txt&download=true":  `attachment; filename="a.txt"`,
		"?download=true":                 "attachment",
		"?download=false":                "",
		"?filename=test%D1%82.pdf":       `inline; filename="test_.pdf"; filename*=UTF-8''test%D1%82.pdf`,
		"?filename=a%22b%0d%0a%5Cc+d":    `inline; filename="c d"`,
		"?filename=..%2F..%2Fetc%2Fx":    `inline; filename="x"`,
		"?filename=a%22%0d%0ab":          `inline; filename="a___b"; filename*=UTF-8''a%22%0D%0Ab`,
		"?format=raw&filename=a%20b.bin": `attachment; filename="a b.bin"`,
	} {
		if got := f.both(at(f.small, query)).expect(t, http.StatusOK, "").Header.Get("Content-Disposition"); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

// "Service-Worker" and the status codes of what is malformed or not served.
func TestPathRefusals(t *testing.T) {
	f := newTree(t)
	f.both(at(f.root, "/sub/small"), "Service-Worker: script").expect(t, http.StatusBadRequest, "")
	for path, status := range map[string]int{
		"/ipfs/nonsense": 400, "/ipfs/": 400, at(f.small, "?format=zip"): 400, at(f.small, "?format=tar"): 406, at(f.small, "?format=dag-json"): 406,
		at(f.root, "/none"): 404, at(f.root, "/sub/small/deeper"): 404, at(f.missing, ""): 404, "/ipns/example.com": 404,
	} {
		if got := f.both(path); got.StatusCode != status || len(got.body) == 0 {
			t.Errorf("%s: %d %q, want %d", path, got.StatusCode, got.body, status)
		}
	}
	f.do(http.MethodPut, at(f.small, "")).expect(t, http.StatusMethodNotAllowed, "")
}

// Pages of every origin may read what everybody may, and ask before: errors, too,
// and nothing of the registry.
func TestPathCORS(t *testing.T) {
	f := newTree(t)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions} {
		for _, path := range []string{at(f.small, ""), at(f.missing, "")} {
			got := f.do(method, path, "Origin: https://page.example", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: range")
			if method == http.MethodOptions {
				got.expect(t, http.StatusNoContent, "")
			}
			h := got.Header
			if h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s %s: %v", method, path, h)
			}
			for name, wants := range map[string][]string{
				"Access-Control-Allow-Methods":  {"GET", "HEAD", "OPTIONS"},
				"Access-Control-Allow-Headers":  {"Content-Type", "Range", "User-Agent", "X-Requested-With"},
				"Access-Control-Expose-Headers": {"Content-Range", "Content-Length", "X-Ipfs-Path", "X-Ipfs-Roots", "X-Chunked-Output", "X-Stream-Output", "Ipfs-Uri"},
			} {
				for _, want := range wants {
					if !strings.Contains(h.Get(name), want) {
						t.Errorf("%s %s: %s is %q, %s is not in it", method, path, name, h.Get(name), want)
					}
				}
			}
		}
	}
	if got := f.do(http.MethodPost, at(f.small, "")); got.StatusCode != http.StatusMethodNotAllowed || got.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("POST: %d, Allow %q", got.StatusCode, got.Header.Get("Allow"))
	}
	got := f.do(http.MethodOptions, "/v2/", "Origin: https://page.example", "Access-Control-Request-Method: PUT")
	if got.StatusCode != http.StatusMethodNotAllowed || got.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("the registry: %d %v", got.StatusCode, got.Header)
	}
}
