package layer

import (
	"archive/tar"
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// entries writes entries without data, each in a directory that is there.
func entries(t testing.TB, all ...tar.Header) []byte {
	t.Helper()
	return tarOf(t, func(add func(tar.Header, []byte)) {
		add(tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
		for _, h := range all {
			if strings.HasSuffix(h.Name, "/") && h.Typeflag == 0 {
				h.Typeflag = tar.TypeDir
			}
			add(h, nil)
		}
	})
}

func attr(value string) map[string]string { return map[string]string{xattrPrefix + "user.a": value} }

// A layer of which a lazy mount, or podman file by file, would make another tree than
// an ordinary pull has no index. What only looks like it has one.
func TestNamesThatReadersTakeOtherwise(t *testing.T) {
	type headers []tar.Header
	index := func(o Options, h headers) string {
		plain := entries(t, h...)
		if at := bytes.LastIndex(plain, []byte("fooSLASH")); at > 0 { // which archive/tar does not write
			copy(plain[at:], "foo/\x00\x00\x00\x00\x00")
			setChecksum((*[blockSize]byte)(plain[at-2:]))
		}
		_, c := compress(t, bytes.NewReader(plain), o)
		return fmt.Sprint(c.Index().Missing)
	}
	link := func(change func(h *tar.Header)) headers {
		h := tar.Header{Name: "d/hard", Typeflag: tar.TypeLink, Linkname: "./d/a", PAXRecords: attr("v")}
		change(&h)
		return headers{{Name: "d/a", PAXRecords: attr("v")}, h}
	}
	for name, c := range map[string]struct {
		entries headers
		lazy    string // why there is no index
		chunked string
	}{
		"whiteout, then the name":      {headers{{Name: "d/.wh.a"}, {Name: "d/a"}}, "", "a whiteout of it stands before"},
		"whiteout, then the directory": {headers{{Name: "d/.wh.a"}, {Name: "d/a/"}}, "", "a whiteout of it stands before"},
		"the name, then its whiteout":  {headers{{Name: "d/a"}, {Name: "./d/.wh.a"}}, `removes "d/a"`, `removes "d/a"`},
		"a directory, then whiteout":   {headers{{Name: "d/.wh.d"}, {Name: ".wh.d"}}, `removes "d"`, `removes "d"`},
		"whiteout of another":          {headers{{Name: "d/a"}, {Name: ".wh.a"}, {Name: "d/.wh.b"}, {Name: "d/.wh..wh..opq"}}, "", ""},
		"a whiteout that is a dir":     {headers{{Name: "d/.wh.a/"}}, "a whiteout is a directory", "a whiteout is a directory"},
		"below a whiteout":             {headers{{Name: "d/.wh.a/b"}}, "a whiteout is a directory", "a whiteout is a directory"},
		"upwards":                      {headers{{Name: "q/"}, {Name: "q/../w"}}, "", "goes up"},
		"two dots in a name":           {headers{{Name: "d/..w"}, {Name: "d/w..", Typeflag: tar.TypeSymlink, Linkname: "../w"}}, "", ""},
		"a link upwards":               {headers{{Name: "w"}, {Name: "d/l", Typeflag: tar.TypeLink, Linkname: "d/../w"}}, "", "goes up"},
		"a file that ends in a slash":  {headers{{Name: "d/fooSLASH"}}, "", "a slash ends its name"},
		"a landmark":                   {headers{{Name: "./.prefetch.landmark"}}, "does not show", "does not show"},
		"the other":                    {headers{{Name: ".no.prefetch.landmark"}}, "does not show", "does not show"},
		"its state":                    {headers{{Name: ".stargz-snapshotter/"}, {Name: ".stargz-snapshotter/a"}}, "does not show", "does not show"},
		"a landmark elsewhere":         {headers{{Name: "d/.prefetch.landmark"}, {Name: ".prefetch.landmarks"}, {Name: "stargz.index.json"}}, "", ""},
		"a name longer than a path":    {headers{{Name: strings.Repeat("d/", 2048) + "a"}}, "more than the 4096", "more than the 4096"},
		"attributes of the first":      {headers{{Name: "e/", PAXRecords: attr("v")}, {Name: "e/"}}, "is there twice", "is there twice"},
		"attributes of the second":     {headers{{Name: "e/"}, {Name: "e/", PAXRecords: attr("v")}}, "", "is there twice"},
		"the root's":                   {headers{{Name: "./", PAXRecords: attr("v")}, {Name: "./"}}, "is there twice", "is there twice"},
		"a link":                       {link(func(*tar.Header) {}), "", ""},
		"a link without attributes":    {link(func(h *tar.Header) { h.PAXRecords = nil }), "", ""},
		"a link to that":               {append(link(func(h *tar.Header) { h.PAXRecords = nil }), tar.Header{Name: "d/x", Typeflag: tar.TypeLink, Linkname: "d/hard", PAXRecords: attr("v")}), "", ""},
		"a link with rights":           {link(func(h *tar.Header) { h.Mode = 0o4755 }), "with other attributes", "with other attributes"},
		"a link with an owner":         {link(func(h *tar.Header) { h.Gid = 7 }), "with other attributes", "with other attributes"},
		"a link with a time":           {link(func(h *tar.Header) { h.ModTime = time.Unix(1_700_000_000, 124_000_000) }), "with other attributes", "with other attributes"},
		"a link with attributes":       {link(func(h *tar.Header) { h.PAXRecords = attr("w") }), "with other attributes", "with other attributes"},
	} {
		for _, form := range []struct {
			Options
			why string
		}{{lazy, c.lazy}, {chunked, c.chunked}} {
			if got := index(form.Options, c.entries); form.why == "" && got != "<nil>" || !strings.Contains(got, form.why) {
				t.Errorf("%s, %s: %s, want %q", name, form.Compression, got, form.why)
			}
		}
	}
}

// What others wrote with such names is compared all the same.
func TestVerifyIndexOfForeignNames(t *testing.T) {
	plain := entries(t, tar.Header{Name: "d/.wh.a"}, tar.Header{Name: "d/a"}, tar.Header{Name: ".prefetch.landmark"}, tar.Header{Name: "stargz.index.json"},
		tar.Header{Name: "d/hard", Typeflag: tar.TypeLink, Linkname: "d/a", Mode: 0o600})
	ours := entries(t, tar.Header{Name: "stargz.index.json"})
	for name, round := range map[string]time.Duration{"down": 400_000_000, "up": 600_000_000} {
		toTheSecond := entries(t, tar.Header{Name: "a", ModTime: time.Unix(1_700_000_000, int64(round))})
		blob, toc := foreign(t, append(toTheSecond[:len(toTheSecond)-2*blockSize], plain...), 0)
		if err := VerifyIndex(bytes.NewReader(blob), int64(len(blob)), saying(toc)); err != nil {
			t.Errorf("rounded %s: %v", name, err)
		}
	}
	blob, r := lazily(t, ours)
	if err := VerifyIndex(bytes.NewReader(blob), int64(len(blob)), saying(r.TOCDigest())); err != nil {
		t.Errorf("a layer with a file of the index's name: %v", err)
	}
	untold, _ := asEStargz(t, mustCompress(t, ours), `{"entries":[{"name":"d","type":"dir","mode":493,"modtime":"2023-11-14T22:13:20.123Z"}]}`)
	if err := VerifyIndex(bytes.NewReader(untold), int64(len(untold)), saying("sha256:"+"0")); err == nil {
		t.Error("no digest is taken for one")
	}
}

func mustCompress(t testing.TB, plain []byte) []byte {
	blob, _ := compress(t, bytes.NewReader(plain), Options{})
	return blob
}

// Where there can be no index any more no names are kept, and not more than is bounded
// where there can.
func TestNamesAreNotKept(t *testing.T) {
	normal, err := chunked.normal()
	if err != nil {
		t.Fatal(err)
	}
	x, err := newIndexer(normal)
	if err != nil {
		t.Fatal(err)
	}
	defer x.close()
	x.scan(entries(t, tar.Header{Name: "a"}, tar.Header{Name: "a"})[:blockSize*9])
	if x.scanner.err == nil {
		t.Fatal("a name twice has an index")
	}
	before := heap()
	for i := range 4000 {
		one := entries(t, tar.Header{Name: fmt.Sprintf("%03000d", i)})
		x.scan(one[blockSize : len(one)-2*blockSize])
	}
	if grown := heap() - before; grown > 6<<20 {
		t.Errorf("4000 names of 3000 bytes take %d bytes where there is no index", grown)
	}
	x.scanned()
	runtime.KeepAlive(x)
	s := newScanner()
	s.own = true
	s.chunked()
	s.text = maxNames - 5
	s.segment(entries(t, tar.Header{Name: "file"}))
	if err := s.end(); err == nil || !strings.Contains(err.Error(), "MiB of names") {
		t.Errorf("more names than are kept: %v", err)
	}
}
