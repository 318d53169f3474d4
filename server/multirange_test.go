package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
)

// checkParts reads an answer to several ranges: each part has the bytes that its
// header says, and all bytes were announced. It gives the parts' ranges.
func checkParts(t *testing.T, rng string, h http.Header, body, data []byte) []string {
	t.Helper()
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || media != "multipart/byteranges" {
		t.Fatalf("Range %q: Content-Type %q, %v", rng, h.Get("Content-Type"), err)
	}
	if got := h.Get("Content-Length"); got != fmt.Sprint(len(body)) {
		t.Errorf("Range %q: Content-Length %s, came %d", rng, got, len(body))
	}
	var parts []string
	for r := multipart.NewReader(bytes.NewReader(body), params["boundary"]); ; {
		part, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return parts
		}
		if err != nil {
			t.Fatalf("Range %q: %v", rng, err)
		}
		var first, last, size int
		if _, err := fmt.Sscanf(part.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &size); err != nil || size != len(data) {
			t.Fatalf("Range %q: part %v, %v", rng, part.Header, err)
		}
		got, err := io.ReadAll(part)
		if err != nil || !bytes.Equal(got, data[first:last+1]) {
			t.Errorf("Range %q: part %d-%d has %d bytes, %v", rng, first, last, len(got), err)
		}
		parts = append(parts, fmt.Sprintf("%d-%d", first, last))
	}
}

// multiRange asks for several ranges: podman fetches the files that it lacks so,
// and takes the whole twice when it gets that instead.
func multiRange(t *testing.T, s *site, path string, data []byte) {
	t.Helper()
	end := len(data)
	for rng, want := range map[string]string{
		"bytes=0-9,2000000-2000099,-5":                                fmt.Sprintf("0-9 2000000-2000099 %d-%d", end-5, end-1),
		"bytes=5-9, 0-1":                                              "5-9 0-1", // in the order asked for
		"bytes=0-0" + strings.Repeat(",1-1", 1023):                    "0-0" + strings.Repeat(" 1-1", 1023),
		"bytes=0-4,5-9,3-6":                                           "0-4 5-9 3-6", // one part for each
		fmt.Sprintf("bytes=%d-,0-0", end):                             "0-0",
		fmt.Sprintf("bytes=1048575-1048576,,\t%d-99999999999", end-2): fmt.Sprintf("1048575-1048576 %d-%d", end-2, end-1),
	} {
		got := s.get(path, "Range: "+rng).expect(t, http.StatusPartialContent, "")
		head := s.do(http.MethodHead, path, "Range: "+rng).expect(t, http.StatusPartialContent, "")
		if head.Header.Get("Content-Length") != got.Header.Get("Content-Length") || len(head.body) > 0 {
			t.Errorf("Range %q: HEAD %v with %d bytes, GET %v", rng, head.Header, len(head.body), got.Header)
		}
		if parts := strings.Join(checkParts(t, rng, got.Header, got.body, data), " "); parts != want {
			t.Errorf("Range %q: parts %s, want %s", rng, parts, want)
		}
	}
	for _, rng := range []string{ // all, as RFC 9110 allows
		"bytes=0-,0-0", "bytes=1-0,3-4", "bytes=a-b,0-1", "items=0-1,2-3", "bytes=0-0" + strings.Repeat(",1-1", 1024), "bytes=,",
	} {
		if got := s.both(path, "Range: "+rng).expect(t, http.StatusOK, ""); !bytes.Equal(got.body, data) {
			t.Errorf("Range %q: other bytes", rng)
		}
	}
	for rng, want := range map[string]string{ // one range, which is no list of parts (RFC 9110, 15.3.7.2)
		"bytes=0-9,": "0-9", "bytes=,0-9": "0-9", "bytes= , 5-,\t": fmt.Sprintf("5-%d", end-1), "Bytes=,,-5": fmt.Sprintf("%d-%d", end-5, end-1),
	} {
		got := s.get(path, "Range: "+rng).expect(t, http.StatusPartialContent, "")
		if is := got.Header.Get("Content-Range"); is != fmt.Sprintf("bytes %s/%d", want, end) {
			t.Errorf("Range %q: Content-Range %q, Content-Type %q", rng, is, got.Header.Get("Content-Type"))
		}
	}
	for _, rng := range []string{fmt.Sprintf("bytes=%d-,%d-", end, end+1), "bytes=-0,-0", fmt.Sprintf("bytes=%d-,", end), ",-0", fmt.Sprintf("bytes=%d-%d", end, end) + strings.Repeat(",-0", 1024)} {
		rng = "bytes=" + strings.TrimPrefix(rng, "bytes=")
		got := s.both(path, "Range: "+rng).expect(t, http.StatusRequestedRangeNotSatisfiable, codeRangeInvalid)
		if is := got.Header.Get("Content-Range"); is != fmt.Sprintf("bytes */%d", end) {
			t.Errorf("Range %q: Content-Range %q", rng, is)
		}
	}
	for _, condition := range []string{`If-Range: "x"`, `If-Match: *`, `If-None-Match: "x"`} {
		s.get(path, "Range: bytes=0-0,2-2", condition).expect(t, http.StatusOK, "")
	}
}
