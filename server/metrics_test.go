package server

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/internal/metric/metrictest"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
	"github.com/image2ipfs/image2ipfs/server/page"
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

// All that is declared, and so stands in the docs, is told by a server that does all that
// there is to do, and nothing else.
func TestMetricsAreComplete(t *testing.T) {
	store, err := packstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	to, err := OpenEvents(filepath.Join(t.TempDir(), "events"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	gw := newGateway("http://gateway.test", testlayout.NewBlocks(), well)
	s := start(t, Config{
		Local: store, Dir: store.Path(), Gateways: []Gateway{gw}, Open: true, Pushed: pushed.New(store, pushed.Options{}), Events: to,
		Page: &page.Config{}, Version: "v1.2.3",
		Disk:      func() (store, cache int64, err error) { return 1, 2, nil },
		Stored:    func(context.Context) (Stored, error) { return Stored{Roots: 3, Bytes: 4}, nil },
		Collected: func() Collected { return Collected{Limit: 1, Last: time.Now()} },
		Scrubbed:  func() Scrubbed { return Scrubbed{Oldest: time.Now()} },
	})
	defer s.s.listening.begin("images", newConnections(1, s.s.connOrigin, s.s.memory.Connections, 1))()
	_, mine, _ := twoImages(t)
	s.get(mine.paths()[0]).expect(t, http.StatusNotFound, codeNameUnknown)
	metrictest.Complete(t, s.s.metrics.state, Metrics())
}

// What came of pushes is counted.
func TestMetricsOfPushes(t *testing.T) {
	p := startPush(t, t.TempDir())
	p.manifest("app", "1", p.image("app", big(1000))).expect(t, http.StatusCreated, "")
	p.manifest("app", "1", bytes.Replace(p.image("app", big(10)), []byte("sha256:"), []byte("sha256:00"), 1))
	p.send(http.MethodDelete, p.begin("app"), nil).expect(t, http.StatusNoContent, "")
	p.send(http.MethodPut, p.begin("app")+"?digest="+digest.FromString("other").String(), []byte("this")).expect(t, http.StatusBadRequest, codeDigestInvalid)
	p.begin("app")
	text := string(p.get("/metrics").expect(t, http.StatusOK, "").body)
	for _, want := range []string{
		`image2ipfs_push_manifests_total{result="taken"} 1`, `image2ipfs_push_manifests_total{result="refused"} 1`,
		`image2ipfs_uploads_total{result="taken"} 4`, `image2ipfs_uploads_total{result="cancelled"} 1`,
		`image2ipfs_uploads_total{result="refused"} 1`, "image2ipfs_uploads 1", "image2ipfs_push_new_bytes_total [1-9]", "image2ipfs_store_up 1",
	} {
		if !regexp.MustCompile("(?m)^" + strings.NewReplacer("{", `\{`, "}", `\}`).Replace(want)).MatchString(text) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// A store that is gone is told to be.
func TestMetricsOfLostStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	p := startPush(t, dir)
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if text := string(p.get("/metrics").expect(t, http.StatusOK, "").body); !strings.Contains(text, "\nimage2ipfs_store_up 0\n") {
		t.Error(text)
	}
	if err := os.Rename(dir+".away", dir); err != nil { // for who closes it
		t.Fatal(err)
	}
}
