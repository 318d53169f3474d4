package p2p

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/ipfs/go-cid"
)

// pair is a node that gives and one that gets.
func pair(b *testing.B, listen string, blocks Blocks, handler http.Handler) (from *Node) {
	b.Helper()
	giver, err := New(b.Context(), Config{Listen: []string{listen}, Blocks: blocks, Handler: func(*Node) http.Handler { return handler }})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { giver.Close() })
	getter, err := New(b.Context(), Config{Peers: giver.Addrs()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { getter.Close() })
	if err := getter.Ready(b.Context()); err != nil {
		b.Fatal(err)
	}
	return getter
}

// What a peer's answer costs on its way through libp2p.
func BenchmarkHTTP(b *testing.B) {
	const answerSize = 64 << 20
	chunk := make([]byte, 1<<20)
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range answerSize / len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	for name, listen := range map[string]string{"tcp": loopback, "quic": "/ip4/127.0.0.1/udp/0/quic-v1"} {
		b.Run(name, func(b *testing.B) {
			n := pair(b, listen, nil, handler)
			b.SetBytes(answerSize)
			for b.Loop() {
				r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://peer/", nil)
				if err != nil {
					b.Fatal(err)
				}
				resp, err := n.Peers()[0].RoundTrip(r)
				if err != nil {
					b.Fatal(err)
				}
				if got, err := io.Copy(io.Discard, resp.Body); err != nil || got != answerSize {
					b.Fatal(got, err)
				}
				resp.Body.Close()
			}
		})
	}
}

// Blocks by bitswap: many small ones, and as many bytes in large ones.
func BenchmarkBitswap(b *testing.B) {
	const total = 64 << 20
	for _, size := range []int{32 << 10, 1 << 20} {
		b.Run(strconv.Itoa(size>>10)+"KiB", func(b *testing.B) {
			var have memory
			var cids []cid.Cid
			for i := range total / size {
				data := bytes.Repeat([]byte{1}, size)
				binary.LittleEndian.PutUint64(data, uint64(i))
				cids = append(cids, have.add(data))
			}
			n := pair(b, loopback, &have, nil)
			b.SetBytes(total)
			for b.Loop() {
				if err := n.Blocks(b.Context(), cids, func(cid.Cid, []byte) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
