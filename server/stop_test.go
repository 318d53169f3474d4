package server

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
	"github.com/image2ipfs/image2ipfs/test/testlog"
)

// Whoever stops a server that is sending is told what it waits for.
func TestStopSaysWhatItWaitsFor(t *testing.T) {
	var log testlog.Log
	blocks := slowStore{testlayout.NewBlocks(), make(chan struct{}), make(chan struct{})}
	s, err := New(Config{Local: blocks, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	root := publish(t, blocks.Blocks, 1000).root
	ctx, cancel := context.WithCancel(t.Context())
	served, answered := make(chan error, 1), make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	go func() {
		resp, err := http.Get("http://" + l.Addr().String() + name(root) + "/app/manifests/1")
		if err == nil {
			err = resp.Body.Close()
		}
		answered <- err
	}()
	<-blocks.asked
	cancel()
	waitUntil(t, func() bool {
		return strings.Contains(log.String(), "stopping; waiting up to 30s for 1 running transfers; interrupt again to end now")
	})
	close(blocks.goOn)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// slowStore answers once goOn is closed; the first who waits is told of on asked.
type slowStore struct {
	*testlayout.Blocks
	asked, goOn chan struct{}
}

func (s slowStore) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	select {
	case s.asked <- struct{}{}:
	case <-s.goOn:
	}
	<-s.goOn
	return s.Blocks.Get(ctx, c)
}

var _ ipfs.Getter = slowStore{}
