package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
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
	for _, at := range []float64{0.4, 1} {
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
			meet(t, append(crowd, origin)...)
			dead := make(chan struct{})
			t.Cleanup(func() { <-dead })
			go func() {
				defer close(dead)
				for t.Context().Err() == nil && !isDue(t, at, origin, crowd, c, len(data)) {
					time.Sleep(time.Millisecond)
				}
				closed(t, origin)
			}()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			results := make(chan error)
			for _, n := range crowd {
				go func() { results <- read(ctx, n, c, data) }()
			}
			for range crowd {
				err := <-results
				if err != nil && at == 1 || err != nil && !errors.Is(err, ipfs.ErrUnavailable) && !errors.Is(err, ipfs.ErrNotFound) {
					t.Error(err)
				}
			}
			select {
			case <-dead:
			case <-ctx.Done():
				t.Error("the origin has not died")
			}
		})
	}
}

// isDue tells whether an origin is to die: when that many images have left it, at 1 when
// the crowd has all blocks among it.
func isDue(t *testing.T, at float64, origin *Network, crowd []*Network, file cid.Cid, size int) bool {
	if at < 1 {
		return float64(origin.exchange.Stats().Total.BytesOut) >= at*float64(size)
	}
	shared := true
	err := ipfs.Blocks(t.Context(), origin.local, file, 0, func(c cid.Cid, _ int64) bool {
		shared = shared && slices.ContainsFunc(crowd, func(n *Network) bool { return n.local.Has(t.Context(), c) })
		return shared
	})
	return err == nil && shared
}

// meet waits until all are connected with each other.
func meet(t *testing.T, all ...*Network) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for _, n := range all {
		for len(n.node.Peers()) < len(all)-1 {
			if time.Now().After(deadline) {
				t.Fatalf("a node knows %d of %d others after a minute", len(n.node.Peers()), len(all)-1)
			}
			time.Sleep(10 * time.Millisecond)
		}
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
