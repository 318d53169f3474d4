package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/p2p"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
)

// Over real connections, too, everybody who fetches what an origin had is done or is
// told, when that dies; what the crowd has together, all of it get.
func TestOriginDies(t *testing.T) {
	for _, at := range []float64{0.4, 1.2} {
		t.Run(fmt.Sprint(at, " images"), func(t *testing.T) {
			data := make([]byte, 8<<20)
			_, _ = rand.NewChaCha8([32]byte{1}).Read(data) // never fails
			store := newStore(t)
			c := keep(t, store, data)
			origin, addresses := serving(t, store, nil)
			var crowd []*Network
			for range 3 {
				var n *Network
				n, addresses = serving(t, newStore(t), addresses)
				t.Cleanup(func() { closed(t, n) })
				crowd = append(crowd, n)
			}
			dead := make(chan struct{})
			t.Cleanup(func() { <-dead })
			go func() {
				defer close(dead)
				for t.Context().Err() == nil && float64(origin.exchange.Stats().Total.BytesOut) < at*float64(len(data)) {
					time.Sleep(time.Millisecond)
				}
				closed(t, origin)
			}()
			results := make(chan error)
			for _, n := range crowd {
				go func() { results <- read(t.Context(), n, c, data) }()
			}
			for range crowd {
				err := <-results
				if err != nil && at > 1 || err != nil && !errors.Is(err, ipfs.ErrUnavailable) && !errors.Is(err, ipfs.ErrNotFound) {
					t.Error(err)
				}
			}
			if at < 1 {
				<-dead
			}
		})
	}
}

// keep has a store keep a file.
func keep(t *testing.T, s *packstore.Store, data []byte) cid.Cid {
	t.Helper()
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Abort()
	link, err := ipfs.AddFile(t.Context(), tx, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context(), ipfs.Root{CID: link.CID}); err != nil {
		t.Fatal(err)
	}
	return link.CID
}

// serving starts the server of a store that knows some others, and adds its addresses.
func serving(t *testing.T, s *packstore.Store, others []string) (*Network, []string) {
	t.Helper()
	n, err := Serve(t.Context(), s, Config{CacheSize: 1 << 30, Node: p2p.Config{Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Peers: others}})
	if err != nil {
		t.Fatal(err)
	}
	id, err := ReadIdentity(t.Context(), s.Path())
	if err != nil {
		t.Fatal(err)
	}
	return n, append(others, id.Addrs...)
}

// read reads a file as a server does.
func read(ctx context.Context, n *Network, c cid.Cid, want []byte) error {
	for len(n.node.Peers()) < 3 { // all know each other
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	g, release := n.Blocks().Fetch(c)
	defer release()
	f, err := ipfs.OpenFile(ctx, g, c, 16)
	if err != nil {
		return err
	}
	var got bytes.Buffer
	_, err = io.Copy(&got, f)
	if err = errors.Join(err, f.Close()); err == nil && !bytes.Equal(got.Bytes(), want) {
		err = fmt.Errorf("%d bytes came that are not those of %d", got.Len(), len(want))
	}
	return err
}
