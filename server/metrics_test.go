package server

import (
	"context"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// An operator sees requests, bytes, sources, caches and the store, under names
// that dashboards can rely on.
func TestMetrics(t *testing.T) {
	blocks, mine, _ := twoImages(t)
	gw := newGateway("http://gateway.test", blocks, well)
	s := start(t, Config{
		Local: testlayout.NewBlocks(), Gateways: []Gateway{gw, newGateway("http://gateway.test", blocks, well)}, Open: true, NoRedirect: true,
		Stored: func(context.Context) (Stored, error) { return Stored{Roots: 3, Bytes: 4096}, nil },
	})
	manifest := s.get(mine.paths()[0]).expect(t, http.StatusOK, "")
	s.get(mine.paths()[3]).expect(t, http.StatusOK, "")
	s.get("/v2/library/nginx/manifests/1").expect(t, http.StatusNotFound, codeNameUnknown)
	s.do("BREW", "/"+strings.Repeat("x", 100))
	text := string(s.get("/metrics").expect(t, http.StatusOK, "").body)
	for _, want := range []string{
		`image2ipfs_http_requests_total{endpoint="manifests",method="GET",status="200"} 1`,
		`image2ipfs_http_requests_total{endpoint="manifests",method="GET",status="404"} 1`,
		`image2ipfs_http_requests_total{endpoint="blobs",method="GET",status="200"} 1`,
		`image2ipfs_http_requests_total{endpoint="other",method="other",status="405"} 1`,
		`image2ipfs_http_response_bytes_total{endpoint="manifests",source="manifest"} ` + strconv.Itoa(len(manifest.body)),
		`image2ipfs_http_request_duration_seconds_count{endpoint="blobs"} 1`,
		`image2ipfs_http_requests_in_flight 1`,
		`image2ipfs_source_blocks_total{result="found",source="http://gateway.test"} \d+`,
		`image2ipfs_source_bytes_total{source="http://gateway.test"} \d+`,
		`image2ipfs_source_up{source="http://gateway.test"} 1`,
		`image2ipfs_cache_bytes{cache="layouts"} [1-9]\d*`,
		`image2ipfs_cache_requests_total{cache="layouts",result="hit"} 1`,
		`image2ipfs_store_roots 3`,
		`image2ipfs_store_blob_bytes 4096`,
		`go_goroutines \d+`,
	} {
		if !regexp.MustCompile("(?m)^" + strings.NewReplacer("{", `\{`, "}", `\}`).Replace(want)).MatchString(text) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// Nothing that a client chooses becomes a label: it could fill the memory.
func TestMetricsAreBounded(t *testing.T) {
	blocks, mine, _ := twoImages(t)
	s := start(t, Config{Local: blocks})
	count := func() int { return strings.Count(string(s.get("/metrics").body), "\nimage2ipfs_http_requests_total{") }
	ask := func(x string) {
		s.do("M"+x, "/v2/"+x)
		s.get("/" + x)
		s.get(name(mine.root) + "/" + x + "/manifests/" + x)
		s.get("/ipfs/" + x)
	}
	ask("a")
	count()
	before := count()
	for range 50 {
		ask(strings.Repeat("b", before%7+1))
	}
	if after := count(); after != before {
		t.Errorf("%d series, then %d", before, after)
	}
}

// With --metrics they are where only the operator reaches them.
func TestMetricsElsewhere(t *testing.T) {
	s := start(t, Config{Local: testlayout.NewBlocks(), MetricsElsewhere: true})
	s.get("/metrics").expect(t, http.StatusNotFound, "")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.s.ServeMetrics(ctx, l) }()
	beside := &site{t, s.s, "http://" + l.Addr().String()}
	if r := beside.get("/metrics"); r.StatusCode != http.StatusOK || !strings.Contains(string(r.body), "image2ipfs_") {
		t.Errorf("%s: %s", r.Status, r.body)
	}
	if r := beside.get("/v2/"); r.StatusCode != http.StatusNotFound {
		t.Errorf("the metrics' port answers /v2/ with %s", r.Status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
