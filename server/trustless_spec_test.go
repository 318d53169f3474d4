package server

import (
	"bufio"
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/car"
)

// The tests of this file walk the Trustless Gateway Specification
// (https://specs.ipfs.tech/http-gateways/trustless-gateway/), a test for a section.

// "GET /ipfs/{cid}[/{path}]" and "CAR Responses": the blocks of the path come first,
// those of a sharded directory among them, then all below.
func TestTrustlessCARPathing(t *testing.T) {
	f := newTree(t)
	f.same("a file of one block", f.car(at(f.root, "/sub/small"), ""), f.root, f.sub, f.small)
	f.same("a file of several", f.car(at(f.root, "/sub/chunked"), ""), append([]cid.Cid{f.root, f.sub, f.chunked}, f.chunks...)...)
	through := f.car(at(f.many, "/file"), "")
	want := append([]cid.Cid{f.chunked}, f.chunks...)
	if n := len(through) - len(want); n < 2 || n > 4 || through[0] != f.many || !slices.Equal(through[n:], want) {
		t.Errorf("through a sharded directory: %v", through)
	}
	f.both(at(f.root, "/sub/none?format=car")).expect(t, http.StatusNotFound, "")
	f.same("dag-cbor in a directory", f.car(at(f.root, "/document"), "&dag-scope=entity"), f.root, f.document)
	f.both(at(f.document, "?format=car")).expect(t, http.StatusBadRequest, "") // its links are not followed here
}

// "dag-scope": block, entity and all.
func TestTrustlessDagScope(t *testing.T) {
	f := newTree(t)
	f.same("block of a directory", f.car(at(f.root, "/sub"), "&dag-scope=block"), f.root, f.sub)
	f.same("block of a file", f.car(at(f.root, "/sub/chunked"), "&dag-scope=block"), f.root, f.sub, f.chunked)
	f.same("entity of a directory", f.car(at(f.root, "/sub"), "&dag-scope=entity"), f.root, f.sub)
	f.same("entity of a file", f.car(at(f.chunked, ""), "&dag-scope=entity"), append([]cid.Cid{f.chunked}, f.chunks...)...)
	f.same("entity of a link", f.car(at(f.link, ""), "&dag-scope=entity"), f.link)
	if shards := f.car(at(f.many, ""), "&dag-scope=entity"); len(shards) < 100 || slices.Contains(shards, f.small) || slices.Contains(shards, f.chunked) {
		t.Errorf("entity of a sharded directory: %d blocks, a file among them: %v", len(shards), slices.Contains(shards, f.small))
	}
	f.same("all", f.car(at(f.root, "/twins"), "&dag-scope=all"), append([]cid.Cid{f.root, f.twins, f.chunked}, f.chunks...)...)
	f.both(at(f.root, "?format=car&dag-scope=some")).expect(t, http.StatusBadRequest, "")
}

// "entity-bytes": the blocks that hold the range and no others, so that a client can
// check it, also where blocks outside of the range are missing.
func TestTrustlessEntityBytes(t *testing.T) {
	f := newTree(t)
	for _, c := range []struct {
		bytes       string
		first, last int // of the chunks
	}{
		{"0:*", 0, 5}, {"0:0", 0, 1}, {"255:256", 0, 2}, {"512:*", 2, 5}, {"512:1023", 2, 4}, {"512:-256", 2, 4}, {"-5:*", 3, 5}, {"-2:-1", 4, 5},
		{"-9999:*", 0, 5}, {"-9999:-3", 0, 4}, {"1000:99999", 3, 5}, {"9:9223372036854775807", 0, 5}, {"-9223372036854775808:0", 0, 1},
		{"800:-900", 0, 0}, // begins behind its end: as dag-scope=block
	} {
		want := append([]cid.Cid{f.chunked}, f.chunks[c.first:c.last]...)
		f.same(c.bytes, f.car(at(f.chunked, ""), "&dag-scope=entity&entity-bytes="+c.bytes), want...)
		f.same(c.bytes+" without a scope", f.car(at(f.chunked, ""), "&entity-bytes="+c.bytes), want...)
	}
	f.same("a block before the range is missing", f.car(at(f.lacking, ""), "&entity-bytes=512:*"), append([]cid.Cid{f.lacking}, f.chunks[2:]...)...)
	f.same("a block behind the range is missing", f.car(at(f.lacking, ""), "&entity-bytes=0:255"), f.lacking, f.chunks[0])
	f.same("of a directory", f.car(at(f.root, "/sub"), "&entity-bytes=0:*"), f.root, f.sub)
	f.same("of one block", f.car(at(f.small, ""), "&entity-bytes=1:2"), f.small)
	f.same("of a block that recurs", f.car(at(f.nested, ""), "&entity-bytes=300:600"), f.nested, f.inner, f.repeated)
	f.same("of a block that recurs, each time", f.car(at(f.nested, ""), "&entity-bytes=300:600&car-dups=y"), f.nested, f.inner, f.repeated, f.inner, f.repeated)
	for _, bad := range []string{"", "5", "a:b", "5:4", "-3:-4", "0:0:0", "1026:*", "5000:6000", "0:-1027", "0:99999999999999999999", "*:5"} {
		if bad != "" {
			f.both(at(f.chunked, "?format=car&entity-bytes="+bad)).expect(t, http.StatusBadRequest, "")
		}
	}
	f.both(at(f.chunked, "?format=car&dag-scope=all&entity-bytes=0:1")).expect(t, http.StatusBadRequest, "")
}

// "CAR dups" and "CAR order", by Accept and by the query, which wins.
func TestTrustlessDupsAndOrder(t *testing.T) {
	f := newTree(t)
	once := append([]cid.Cid{f.twins, f.chunked}, f.chunks...)
	twice := append(slices.Clone(once), once[1:]...)
	for _, c := range []struct {
		query, accept string
		status        int
		parameters    string
		want          []cid.Cid
	}{
		{"", "", 200, "version=1; order=dfs; dups=n", nil}, // no CAR was asked for
		{"?format=car", "", 200, "version=1; order=dfs; dups=n", once},
		{"?format=car&car-version=1&car-order=dfs&car-dups=y", "", 200, "version=1; order=dfs; dups=y", twice},
		{"", "application/vnd.ipld.car; version=1; order=dfs; dups=y", 200, "version=1; order=dfs; dups=y", twice},
		{"", "application/vnd.ipld.car;order=unk;dups=n", 200, "order=dfs; dups=n", once},
		{"", "application/vnd.ipld.car;order=foo, application/vnd.ipld.car;order=dfs;dups=y;q=0.5", 200, "dups=y", twice},
		{"?format=car", "application/vnd.ipld.car; dups=y", 200, "dups=y", twice},
		{"?format=car&car-dups=y", "application/vnd.ipld.car; dups=n", 200, "dups=y", twice},
		{"?format=car&car-dups=n", "application/vnd.ipld.car; dups=y", 200, "dups=n", once},
		{"?format=car&car-order=dfs", "application/vnd.ipld.car; order=unk", 200, "order=dfs", once},
		{"", "application/vnd.ipld.car; version=2", 406, "", nil},
		{"", "application/vnd.ipld.car; order=rnd", 406, "", nil},
		{"?format=car&car-version=2", "", 400, "", nil},
		{"?format=car&car-order=rnd", "", 400, "", nil},
		{"?format=car&car-dups=maybe", "", 400, "", nil},
	} {
		var headers []string
		if c.accept != "" {
			headers = []string{"Accept: " + c.accept}
		}
		got := f.both(at(f.twins, "/"+c.query), headers...)
		if got.StatusCode != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.query, c.accept, got.StatusCode, got.body, c.status)
		}
		if c.want != nil {
			f.same(c.query+" "+c.accept, f.blocksOf(got), c.want...)
			if kind := got.Header.Get("Content-Type"); !strings.Contains(kind, c.parameters) {
				t.Errorf("%s %s: Content-Type %q, want %q in it", c.query, c.accept, kind, c.parameters)
			}
		}
	}
	f.same("all of a block that recurs", f.car(at(f.nested, ""), "&car-dups=y"), f.nested, f.inner, f.repeated, f.repeated, f.inner, f.repeated, f.repeated)
	f.same("once of a block that recurs", f.car(at(f.nested, ""), ""), f.nested, f.inner, f.repeated)
}

// "CAR dups": blocks with identity CIDs are in no CAR.
func TestTrustlessIdentity(t *testing.T) {
	f := newTree(t)
	f.same("an identity CID", f.car("/ipfs/bafkqaf3imvwgy3zaneqgc3janfxgy2lomvscay3jmqfa", "&car-dups=y"))
}

// A DAG whose few blocks say that one of them occurs more often than anybody could
// read is cut off, and the client sees that it is not whole.
func TestTrustlessDupsAreBounded(t *testing.T) {
	f := newTree(t)
	c := f.small
	for range 20 { // 2^20 leaves
		c = f.file([]uint64{0, 0}, c, c)
	}
	r, err := client.Get(f.url + at(c, "?format=car&car-dups=y"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	n := 0
	err = car.Read(bufio.NewReader(r.Body), func(cid.Cid, []byte) error { n++; return nil })
	if err == nil || n > 200_000 {
		t.Errorf("%d blocks and %v, expected an error before", n, err)
	}
	f.same("each once", f.car(at(c, ""), "")[:1], c)
}

// "404 Not Found" for a missing root, whatever was asked for, and 412 for who wants
// only what is here ("Cache-Control: only-if-cached").
func TestTrustlessMissing(t *testing.T) {
	f := newTree(t)
	for _, query := range []string{"", "?format=raw", "?format=car", "?format=car&dag-scope=block"} {
		f.both(at(f.missing, query)).expect(t, http.StatusNotFound, "")
		f.both(at(f.missing, query), "Cache-Control: only-if-cached").expect(t, http.StatusPreconditionFailed, "")
		f.both(at(f.small, query), "Cache-Control: max-age=0, only-if-cached").expect(t, http.StatusOK, "")
	}
	r, err := client.Get(f.url + at(f.lacking, "?format=car"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close() // a missing child: 404 where that is known before, else the stream ends, and not as a whole one does
	if err := car.Read(bufio.NewReader(r.Body), func(cid.Cid, []byte) error { return nil }); r.StatusCode == http.StatusOK && err == nil || r.StatusCode != http.StatusOK && r.StatusCode != http.StatusNotFound {
		t.Errorf("a child is missing: %d, %v", r.StatusCode, err)
	}
}

// "Response Headers" of blocks and CARs.
func TestTrustlessHeaders(t *testing.T) {
	f := newTree(t)
	for query, ending := range map[string]string{"?format=raw": ".bin", "?format=car": ".car"} {
		h := f.both(at(f.small, query)).expect(t, http.StatusOK, "").Header
		for name, want := range map[string]string{
			"Content-Disposition":    `attachment; filename="` + f.small.String() + ending + `"`,
			"X-Content-Type-Options": "nosniff",
			"X-Ipfs-Path":            at(f.small, ""),
			"X-Ipfs-Roots":           f.small.String(),
			"Cache-Control":          "public, max-age=29030400, immutable",
			"Content-Location":       "",
		} {
			if got := h.Get(name); got != want && !(name == "Cache-Control" && strings.Contains(got, "immutable") && strings.Contains(got, "public")) {
				t.Errorf("%s: %s is %q, want %q", query, name, got, want)
			}
		}
		if h.Get("Etag") == "" {
			t.Errorf("%s: no Etag", query)
		}
		named := f.both(at(f.small, query+"&filename=foobar.x")).Header.Get("Content-Disposition")
		if named != `attachment; filename="foobar.x"` {
			t.Errorf("%s: %s", query, named)
		}
	}
	for accept, want := range map[string]string{
		"application/vnd.ipld.raw":                       at(f.small, "?format=raw"),
		"application/vnd.ipld.car":                       at(f.small, "?format=car"),
		"application/vnd.ipld.car;version=1;dups=y":      at(f.small, "?car-dups=y&format=car"),
		"application/vnd.ipld.car;order=dfs;dups=n;q=.3": at(f.small, "?car-dups=n&car-order=dfs&format=car"),
		"text/html": "",
	} {
		if got := f.both(at(f.small, ""), "Accept: "+accept).Header.Get("Content-Location"); got != want {
			t.Errorf("Accept %s: Content-Location %q, want %q", accept, got, want)
		}
	}
}

// "Etag": what is another answer has another one, and who has it is told so.
func TestTrustlessEtag(t *testing.T) {
	f := newTree(t)
	seen := map[string]string{}
	for _, path := range []string{
		at(f.chunked, "?format=raw"), at(f.chunked, "?format=car"), at(f.chunked, "?format=car&car-dups=y"), at(f.chunked, "?format=car&dag-scope=block"),
		at(f.chunked, "?format=car&dag-scope=entity"), at(f.chunked, "?format=car&entity-bytes=0:5"), at(f.chunked, "?format=car&entity-bytes=0:*"),
		at(f.sub, "/chunked?format=car"), at(f.chunked, ""),
	} {
		etag := f.both(path).expect(t, http.StatusOK, "").Header.Get("Etag")
		if other := seen[etag]; etag == "" || other != "" {
			t.Errorf("%s and %s have the Etag %s", path, other, etag)
		}
		seen[etag] = path
		f.both(path, "If-None-Match: "+etag).expect(t, http.StatusNotModified, "")
	}
}

// "Block Responses" and "Dedicated Probe Paths".
func TestTrustlessBlocksAndProbes(t *testing.T) {
	f := newTree(t)
	for _, c := range []cid.Cid{f.root, f.many, f.chunked, f.small, f.link, f.document} {
		got := f.both(at(c, "?format=raw")).expect(t, http.StatusOK, "")
		if err := ipfs.VerifyBlock(c, got.body); err != nil {
			t.Error(err)
		}
	}
	if got := f.both("/ipfs/bafkqaaa?format=raw").expect(t, http.StatusOK, ""); len(got.body) > 0 {
		t.Errorf("probe: %q", got.body)
	}
	f.same("probe", f.car("/ipfs/bafkqaaa", ""))
}

// "CAR version" and "CAR roots": the header has the version that Content-Type tells,
// and one root, which is what the path leads to; of the probe bafkqaaa itself.
func TestTrustlessCARHeader(t *testing.T) {
	f := newTree(t)
	empty := cid.MustParse("bafkqaaa")
	for path, root := range map[string]cid.Cid{
		at(f.root, "?format=car&dag-scope=block"):                f.root,
		at(f.root, "/sub/chunked?format=car"):                    f.chunked,
		at(f.root, "/sub/chunked?format=car&entity-bytes=0:5"):   f.chunked,
		at(f.many, "/file?format=car&dag-scope=entity"):          f.chunked,
		at(f.root, "/twins?format=car&car-dups=y&car-version=1"): f.twins,
		"/ipfs/bafkqaaa?format=car":                              empty,
	} {
		got := f.both(path).expect(t, http.StatusOK, "")
		want, err := car.Header(root)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(got.body, want) {
			t.Errorf("%s: the CAR begins with %q, want %q", path, got.body[:min(len(got.body), len(want))], want)
		}
		if kind := got.Header.Get("Content-Type"); !strings.HasPrefix(kind, car.MediaType+"; version=1;") {
			t.Errorf("%s: Content-Type %s", path, kind)
		}
	}
}

// Blocks of up to 2 MiB, the most that peers exchange, are served whole, raw and in
// CARs ("Block Responses", "CAR Responses").
func TestTrustlessLargestBlock(t *testing.T) {
	f := newTree(t)
	largest := bytes.Repeat([]byte("x"), 2<<20)
	c := f.put(cid.Raw, largest)
	file := f.file([]uint64{2 << 20, 5}, c, f.small)
	if got := f.both(at(c, "?format=raw")).expect(t, http.StatusOK, ""); !bytes.Equal(got.body, largest) || got.ContentLength != 2<<20 {
		t.Errorf("raw: %d bytes, Content-Length %d", len(got.body), got.ContentLength)
	}
	f.same("alone", f.car(at(c, ""), ""), c)
	f.same("in a file", f.car(at(file, ""), ""), file, c, f.small)
	f.same("the end of it", f.car(at(file, ""), "&entity-bytes=2097151:2097152"), file, c, f.small)
	f.same("behind it", f.car(at(file, ""), "&entity-bytes=2097152:*"), file, f.small)
}
