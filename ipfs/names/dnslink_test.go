package names

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// A server of DNS that is silent costs who has an answer 2 s, and not again while it is; it
// is asked one question at a time, and before the answer is too old.
func TestSilentDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var silent atomic.Bool
		var looked, now atomic.Int32
		r := NewResolver(newStore(t), Options{Domains: []string{"example.com"}, DNS: func(ctx context.Context, _ string) ([]string, error) {
			looked.Add(1)
			if now.Add(1) > 1 {
				t.Error("two questions at once")
			}
			defer now.Add(-1)
			if silent.Load() {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return []string{"dnslink=" + value(0)}, nil
		}})
		defer r.Close()
		find := func(took time.Duration, stale bool) {
			t.Helper()
			begun := time.Now()
			m, err := r.Find(t.Context(), "example.com")
			if err != nil || (m.Stale != nil) != stale || time.Since(begun) != took {
				t.Errorf("after %s: %v, %v; want stale: %t, within %s", time.Since(begun), m.Stale, err, stale, took)
			}
		}
		find(0, false)
		time.Sleep(dnsTTL - time.Second)
		find(0, false) // and it is asked for
		synctest.Wait()
		time.Sleep(dnsTTL - time.Second)
		silent.Store(true)
		find(0, false)
		time.Sleep(dnsTimeout + 2*time.Second)
		if n := looked.Load(); n != 3 {
			t.Errorf("asked %d times, want 3", n)
		}
		for range 30 { // it has not answered a while ago
			find(0, true)
			time.Sleep(time.Second)
		}
		time.Sleep(2 * dnsTTL)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { find(settle, true) })
		}
		all.Wait()
		find(0, true)
		silent.Store(false)
		time.Sleep(dnsTimeout + askAgain)
		find(0, true)
		synctest.Wait()
		find(0, false)
		silent.Store(true)
		time.Sleep(dnsKept + time.Minute)
		if m, err := r.Find(t.Context(), "example.com"); !errors.Is(err, ipfs.ErrUnavailable) {
			t.Errorf("after an hour: %+v, %v", m, err)
		}
	})
}

// An error about a server of DNS that was chosen names that one.
func TestDNSErrorNamesServer(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := c.LocalAddr().String()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = AskDNS(address)(t.Context(), "_dnslink.example.com.")
	if failed, ok := errors.AsType[*net.DNSError](err); !ok || failed.Server != address || !strings.Contains(err.Error(), address) {
		t.Errorf("%v; want one about %s", err, address)
	}
}
