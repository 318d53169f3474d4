package server

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs/car"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// Gateways' clients get the form that they like most, and are told what is not
// served here (trustless gateway spec, "Accept" and "format").
func TestFormats(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 1000)
	s := start(t, Config{Local: blocks})
	file := "/ipfs/" + p.root.String() + "/index.json"
	const raw, carType = "application/vnd.ipld.raw", car.MediaType
	for _, c := range []struct {
		query, accept string
		status        int
		mediaType     string
	}{
		{"", "", 200, "application/json"},
		{"", "*/*", 200, "application/json"},
		{"", "text/html,application/xhtml+xml,*/*;q=0.8", 200, "application/json"},
		{"", raw, 200, raw},
		{"", "application/vnd.ipld.RAW", 200, raw},
		{"", carType + "; version=1", 200, carType},
		{"", raw + ";q=0.1, " + carType + ";q=0.9", 200, carType},
		{"", raw + ";q=0, " + carType + ";q=0.1", 200, carType},
		{"", raw + ";q=0", 200, "application/json"},
		{"", raw + ", */*;q=0.5", 200, raw},
		{"", "*/*, " + raw, 200, raw},
		{"", "application/vnd.ipld.dag-json, " + raw + ";q=0.2", 200, raw},
		{"", "application/vnd.ipld.dag-json", 406, ""},
		{"", "application/x-tar", 406, ""},
		{"?format=raw", carType, 200, raw}, // the query wins
		{"?format=car", "", 200, carType},
		{"?format=dag-cbor", "", 406, ""},
		{"?format=tar", "", 406, ""},
		{"?format=nonsense", "", 400, ""},
	} {
		var headers []string
		if c.accept != "" {
			headers = []string{"Accept: " + c.accept}
		}
		got := s.get(file+c.query, headers...)
		mediaType, _, _ := strings.Cut(got.Header.Get("Content-Type"), ";")
		if got.StatusCode != c.status || c.mediaType != "" && mediaType != c.mediaType {
			t.Errorf("%s, Accept %q: %d %s, want %d %s", c.query, c.accept, got.StatusCode, mediaType, c.status, c.mediaType)
		}
	}
}

// The name under which a browser saves is the client's to choose, and is no path.
func TestFilename(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 1000)
	s := start(t, Config{Local: blocks})
	for query, want := range map[string]string{
		"":                          p.root.String() + ".car",
		"&filename=image.car":       `filename="image.car"`,
		"&filename=../../etc/x.car": `filename="x.car"`,
		"&filename=..":              p.root.String() + ".car",
		"&filename=a%22%0d%0ab.car": "filename",
	} {
		got := s.both("/ipfs/" + p.root.String() + "?format=car" + query).Header.Get("Content-Disposition")
		if !strings.HasPrefix(got, "attachment") || !strings.Contains(got, want) || strings.ContainsAny(got, "\r\n") {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}

// A CAR that a client has already is not sent again; that of another path to the
// same content is another one.
func TestCARUnchanged(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 1000)
	s := start(t, Config{Local: blocks})
	file := "/ipfs/" + p.root.String() + "/blobs/sha256/" + p.layer.Encoded()
	etag := s.get(file+"?format=car").expect(t, http.StatusOK, "").Header.Get("ETag")
	for _, match := range []string{etag, strings.TrimPrefix(etag, "W/"), `"x", ` + etag, "*"} {
		if got := s.both(file+"?format=car", "If-None-Match: "+match).expect(t, http.StatusNotModified, ""); len(got.body) > 0 || got.Header.Get("ETag") != etag {
			t.Errorf("%s: %v", match, got.Header)
		}
	}
	for _, other := range []string{file + "?format=car&dag-scope=block", "/ipfs/" + p.root.String() + "?format=car"} {
		s.get(other, "If-None-Match: "+etag).expect(t, http.StatusOK, "")
	}
}

// What a CID holds itself is no block of a CAR; what it leads to is.
func TestCARWithoutIdentityBlocks(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 1000)
	s := start(t, Config{Local: blocks})
	got := s.get("/ipfs/"+identityDir(t, p.root).String()+"?format=car").expect(t, http.StatusOK, "")
	seen := map[string]bool{}
	if err := car.Read(bufio.NewReader(bytes.NewReader(got.body)), func(c cid.Cid, _ []byte) error {
		if c.Prefix().MhType == multihash.IDENTITY {
			t.Errorf("block %s", c)
		}
		seen[c.KeyString()] = true
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !seen[p.root.KeyString()] {
		t.Errorf("%d blocks, %s is not among them", len(seen), p.root)
	}
}
