package server

import (
	"context"
	"fmt"
	"io"
	"iter"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

// maxRanges is how many ranges of one request are answered one by one: as many
// as clients that fetch single files of layers ask for. For more, all is sent.
const maxRanges = 1024

// byteRange is a part of a content.
type byteRange struct{ start, length int64 }

// manyRanges is the key under which a request's context has its Range, if that
// names several.
type manyRanges struct{}

// oneRange gives r without a Range of a unit that is unknown here (RFC 9110, 14.2),
// whose name has no case, and without one that names several: then all is sent, as
// the RFC allows, by whatever does not know [serveRanges]. For several,
// http.ServeContent reads content in a goroutine that it leaves behind when the
// client goes away, and content would be closed under it.
func oneRange(r *http.Request) *http.Request {
	several := r.Header.Get("Range")
	if unit, set, ok := strings.Cut(several, "="); !ok || !strings.EqualFold(unit, "bytes") {
		if several != "" {
			r = r.Clone(context.WithValue(r.Context(), manyRanges{}, several)) // nobody is redirected with it
			r.Header.Del("Range")
		}
		return r
	} else if unit != "bytes" {
		r = r.Clone(r.Context())
		several = "bytes=" + set
		r.Header.Set("Range", several)
	}
	if !strings.Contains(several, ",") {
		return r
	}
	if all := slices.Collect(rangeSpecs(several)); len(all) == 1 { // a list may have empty elements (RFC 9110, 5.6.1.2)
		r = r.Clone(r.Context())
		r.Header.Set("Range", "bytes="+all[0])
		return r
	}
	r = r.Clone(context.WithValue(r.Context(), manyRanges{}, several))
	r.Header.Del("Range")
	return r
}

// rangeSpecs are what a Range of bytes names, less empty elements.
func rangeSpecs(header string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for spec := range strings.SplitSeq(strings.TrimPrefix(header, "bytes="), ",") {
			if spec = strings.Trim(spec, " \t"); spec != "" && !yield(spec) {
				return
			}
		}
	}
}

// severalRanges gives the ranges of a request that names several of a content of
// this size, in its order. None when all is to be sent: if they are malformed,
// too many, more than the content together, or for another content. The error is for
// ranges of which each lies outside of the content.
func severalRanges(r *http.Request, h http.Header, size int64) ([]byteRange, error) {
	header, _ := r.Context().Value(manyRanges{}).(string)
	if header == "" {
		return nil, nil
	}
	if r.Header.Get("If-None-Match") != "" || r.Header.Get("If-Match") != "" {
		return nil, nil
	}
	if only := r.Header.Get("If-Range"); only != "" && only != h.Get("Etag") {
		return nil, nil
	}
	ranges, ok := parseRanges(header, size)
	total := int64(0)
	for _, one := range ranges {
		total += one.length
	}
	if !ok || total > size {
		return nil, nil
	}
	if len(ranges) == 0 && size > 0 { // of nothing all is sent, as for one range
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		return nil, errorf(codeRangeInvalid, "each range of %q is outside the content, which has %d bytes", header, size)
	}
	return ranges, nil
}

// parseRanges reads a Range of up to maxRanges (RFC 9110, 14.1.2) and leaves out
// those that lie behind the content's end. It is not ok if it is none, or malformed.
func parseRanges(header string, size int64) (ranges []byteRange, ok bool) {
	if !strings.HasPrefix(header, "bytes=") {
		return nil, false
	}
	for spec := range rangeSpecs(header) {
		ok = true
		one, ok := parseRange(spec, size)
		if !ok {
			return nil, false
		}
		if one.length > 0 {
			ranges = append(ranges, one)
		}
		if len(ranges) > maxRanges {
			return nil, false
		}
	}
	return ranges, ok
}

// parseRange reads "first-last", "first-" or "-suffix".
func parseRange(spec string, size int64) (byteRange, bool) {
	first, last, ok := strings.Cut(spec, "-")
	number := func(text string) (int64, bool) {
		n, err := strconv.ParseUint(strings.Trim(text, " \t"), 10, 63)
		return int64(n), err == nil
	}
	if strings.Trim(first, " \t") == "" {
		n, isNumber := number(last)
		n = min(n, size)
		return byteRange{size - n, n}, ok && isNumber
	}
	start, isNumber := number(first)
	if !ok || !isNumber {
		return byteRange{}, false
	}
	end := size - 1
	if strings.Trim(last, " \t") != "" {
		to, isNumber := number(last)
		if !isNumber || to < start {
			return byteRange{}, false
		}
		end = min(end, to)
	}
	return byteRange{start, max(0, end-start+1)}, true
}

// serveRanges sends ranges of a file, one part for each and in the order asked
// for, as multipart/byteranges (RFC 9110, 14.6). Neighbours are not merged:
// podman tells parts from each other by counting them. The file is read in this
// goroutine, so that nobody reads it when it is closed.
func serveRanges(w *response, r *http.Request, f sizedFile, ranges []byteRange) error {
	expect(f, ranges...)
	if err := readByte(f, ranges[0].start); err != nil {
		return err
	}
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Accept-Ranges", "bytes")
	media := h.Get("Content-Type")
	counted := &byteCount{}
	parts := multipart.NewWriter(counted)
	if err := writeParts(parts, ranges, media, f.Size(), func(_ io.Writer, one byteRange) error { counted.n += one.length; return nil }); err != nil {
		return err
	}
	h.Set("Content-Type", "multipart/byteranges; boundary="+parts.Boundary())
	h.Set("Content-Length", strconv.FormatInt(counted.n, 10))
	w.WriteHeader(http.StatusPartialContent)
	if r.Method == http.MethodHead {
		return nil
	}
	out := multipart.NewWriter(w)
	if err := out.SetBoundary(parts.Boundary()); err != nil {
		return err
	}
	cw := &contentWriter{response: w}
	return writeParts(out, ranges, media, f.Size(), func(_ io.Writer, one byteRange) error {
		if _, err := f.Seek(one.start, io.SeekStart); err != nil {
			return err
		}
		n, err := cw.ReadFrom(&io.LimitedReader{R: f, N: one.length})
		if err == nil && n < one.length {
			err = fmt.Errorf("%w: %d of %d bytes at %d", io.ErrUnexpectedEOF, n, one.length, one.start)
		}
		return err
	})
}

func writeParts(to *multipart.Writer, ranges []byteRange, media string, size int64, data func(io.Writer, byteRange) error) error {
	for _, one := range ranges {
		part, err := to.CreatePart(textproto.MIMEHeader{
			"Content-Type":  {media},
			"Content-Range": {fmt.Sprintf("bytes %d-%d/%d", one.start, one.start+one.length-1, size)},
		})
		if err != nil {
			return err
		}
		if err := data(part, one); err != nil {
			return err
		}
	}
	return to.Close()
}

// byteCount counts what is written.
type byteCount struct{ n int64 }

func (c *byteCount) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// rangesOf are the lengths of the ranges that a request names; what is malformed, or
// has no end, may be all of a content.
func rangesOf(r *http.Request) (lengths []int64) {
	several, _ := r.Context().Value(manyRanges{}).(string)
	if several == "" {
		return []int64{rangeLength(r.Header.Get("Range"))}
	}
	for spec := range rangeSpecs(several) {
		lengths = append(lengths, rangeLength(spec))
	}
	if len(lengths) == 0 {
		lengths = []int64{rangeLength("")}
	}
	return lengths
}
