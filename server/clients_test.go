package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
	"github.com/image2ipfs/image2ipfs/test/testlog"
)

// No test may leave anything running: a server that leaks a goroutine for a
// request ends after enough requests.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// open opens n connections that send text and nothing else.
func open(t *testing.T, url string, n int, text string) []net.Conn {
	t.Helper()
	var conns []net.Conn
	for range n {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	return conns
}

// pullOnce pulls a blob on a connection of its own.
func pullOnce(t *testing.T, url string, p published) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	alone := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+p.blob(), nil)
	if err != nil {
		return err
	}
	resp, err := alone.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && !bytes.Equal(data, p.data) {
		err = fmt.Errorf("status %d, %d other bytes", resp.StatusCode, len(data))
	}
	return err
}

// A crowd that connects and asks for nothing, asks by halves, or takes nothing
// of what it asked for, costs little and keeps nobody else out.
func TestCrowd(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p, large := publish(t, blocks, 1<<20), publish(t, blocks, 64<<20)
	url, stop := serve(t, Config{Local: blocks, Logger: (&testlog.Log{}).Logger(), Limits: Limits{MaxConns: 400, Grace: time.Millisecond}})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	crowd := open(t, url, 300, "GET "+large.blob()+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	for _, conn := range crowd { // all are being answered
		if _, err := io.ReadFull(conn, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"", "GET /v2/ HTTP/1.1\r\nX-Part: ", "GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n"} {
		open(t, url, 700, text)
		if err := pullOnce(t, url, p); err != nil {
			t.Errorf("beside 700 that send %q: %v", text, err)
		}
	}
	if n := runtime.NumGoroutine(); n > 1500 {
		t.Errorf("%d goroutines for 400 connections", n)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<20 {
		t.Errorf("the heap has grown by %d MiB for 400 connections", grown>>20)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// A request under way is never cut to make room; who comes then waits.
func TestNoRoom(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p, large := publish(t, blocks, 1000), publish(t, blocks, 64<<20)
	url, stop := serve(t, Config{Local: blocks, Logger: (&testlog.Log{}).Logger(), Limits: Limits{MaxConns: 2, Grace: time.Millisecond}})
	busy := open(t, url, 2, "GET "+large.blob()+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	for _, conn := range busy {
		if _, err := io.ReadFull(conn, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() { done <- pullOnce(t, url, p) }()
	select {
	case err := <-done:
		t.Errorf("served beside 2 of 2 connections: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	if _, err := io.ReadFull(busy[0], make([]byte, 1<<20)); err != nil {
		t.Errorf("a transfer was cut: %v", err)
	}
	busy[1].Close()
	if err := <-done; err != nil {
		t.Errorf("after one has gone: %v", err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// Blobs that come from elsewhere share the memory that reading ahead takes, and
// one too many is told to come back.
func TestStreamsShareMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &streams{budget.NewShare("test", 320*leafSize)}
		most := int64(320 - 320/8) // one origin alone
		ctx, cancel := context.WithCancel(t.Context())
		if ahead, err := s.begin(ctx, 16, []int64{1 << 62}); err != nil || ahead != 16 {
			t.Errorf("one alone: %d blocks ahead, %v", ahead, err)
		}
		for held := int64(17); held < most; {
			ahead, err := s.begin(ctx, 16, []int64{1 << 62})
			if err != nil {
				t.Fatalf("%d blocks ahead, %v", ahead, err)
			}
			held += int64(ahead) + 1
			if got, _ := s.memory.Held(); got != held*leafSize {
				t.Fatalf("%d blocks are held, %d bytes", held, got)
			}
		}
		var e *apiError
		if _, err := s.begin(ctx, 16, []int64{1 << 62}); !errors.As(err, &e) || e.code != codeTooMany {
			t.Errorf("one too many: %v", err)
		}
		short, done := context.WithTimeout(ctx, time.Second)
		defer done()
		if _, err := s.begin(short, 16, []int64{1 << 62}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who does not wait: %v", err)
		}
		cancel()
		synctest.Wait()
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		if ahead, err := s.begin(ctx, 16, []int64{1 << 62}); err != nil || ahead != 16 {
			t.Errorf("after all have ended: %d blocks ahead, %v", ahead, err)
		}
	})
}

// A listener that is closed while somebody waits for room ends.
func TestListenerClosedWithoutRoom(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	limited := newConnections(1, func(remote string) string { return remote }, budget.New(0).Connections, connCost).limit(l)
	open(t, "http://"+l.Addr().String(), 2, "")
	first, err := limited.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	failed := make(chan error, 1)
	go func() {
		_, err := limited.Accept()
		failed <- err
	}()
	if err := limited.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v, want net.ErrClosed", err)
	}
}

// With TLS, those who never finish the handshake are no different.
func TestCrowdTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	keyPair(t, certFile, keyFile, 1)
	secure, err := TLS(t.Context(), certFile, keyFile, Options{})
	if err != nil {
		t.Fatal(err)
	}
	url, stop := serve(t, Config{Local: testlayout.NewBlocks(), Logger: (&testlog.Log{}).Logger(), TLS: secure, Limits: Limits{MaxConns: 20, Grace: time.Millisecond}})
	open(t, url, 60, "")
	conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "http://"), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 200" {
		t.Errorf("%q, %v", answer, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
