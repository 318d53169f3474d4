package server

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// silentSource never answers, and says when it is asked.
type silentSource struct {
	once  sync.Once
	asked chan struct{}
}

func (s *silentSource) Get(ctx context.Context, _ cid.Cid) ([]byte, error) {
	s.once.Do(func() { close(s.asked) })
	<-ctx.Done()
	return nil, fmt.Errorf("%w: %w", ipfs.ErrUnavailable, context.Cause(ctx))
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// A client that leaves before its answer is counted and logged as that, and not as a
// failure of the server.
func TestClientLeaves(t *testing.T) {
	source, log := &silentSource{asked: make(chan struct{})}, &lockedBuffer{}
	s := start(t, Config{
		Local: testlayout.NewBlocks(), Remote: []ipfs.Getter{source}, Open: true,
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	_, image, _ := twoImages(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+image.paths()[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-source.asked
		cancel()
	}()
	if resp, err := client.Do(r); err == nil {
		resp.Body.Close()
		t.Fatalf("status %d", resp.StatusCode)
	}
	for end := time.Now().Add(20 * time.Second); !strings.Contains(log.String(), "the client has gone") && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if text := log.String(); !strings.Contains(text, "status=0") || !strings.Contains(text, "the client has gone") || strings.Contains(text, "level=WARN") {
		t.Errorf("the log says %s", text)
	}
	metrics := string(s.get("/metrics").expect(t, http.StatusOK, "").body)
	if !strings.Contains(metrics, `image2ipfs_http_requests_total{endpoint="manifests",method="GET",status="0"} 1`) || strings.Contains(metrics, `status="5`) {
		t.Error("it is not counted as a request without a status")
	}
}
