package exchange

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"go.uber.org/goleak"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a Store that keeps everything, unless it is told not to.
type memory struct {
	*testlayout.Blocks
	mu       sync.Mutex
	has      map[string]bool
	sizes    map[string]int64
	forgets  bool
	received atomic.Int64 // bytes put
}

func newMemory() *memory {
	return &memory{Blocks: testlayout.NewBlocks(), has: map[string]bool{}, sizes: map[string]int64{}}
}

func (m *memory) Has(_ context.Context, c cid.Cid) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.has[string(c.Hash())]
}

func (m *memory) Size(_ context.Context, c cid.Cid) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.has[string(c.Hash())] {
		return 0, fmt.Errorf("%w: block %s", ipfs.ErrNotFound, c)
	}
	return m.sizes[string(c.Hash())], nil
}

func (m *memory) Put(ctx context.Context, c cid.Cid, data []byte) error {
	m.received.Add(int64(len(data)))
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.forgets {
		return errors.New("the disk is full")
	}
	m.has[string(c.Hash())], m.sizes[string(c.Hash())] = true, int64(len(data))
	return m.Blocks.Put(ctx, c, data)
}

// drop takes a block away.
func (m *memory) drop(c cid.Cid) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.has, string(c.Hash()))
	m.Blocks.Drop(c)
}

// machine is a node whose peers reach it over loopback.
type machine struct {
	*Exchange
	t      testing.TB
	id     string
	store  *memory
	web    *httptest.Server
	client *http.Transport
	sent   atomic.Int64 // bytes of answers
	uplink *uplink      // nil for no limit

	mu      sync.Mutex
	others  []*machine
	gone    atomic.Bool
	asked   int // requests for blocks
	blocks  func(ctx context.Context, cids []cid.Cid, yield func(cid.Cid, []byte) error) error
	find    func(ctx context.Context, c cid.Cid) error
	replace http.Handler // in place of the exchange's
}

// uplink is a link of a certain speed that answers share.
type uplink struct {
	mu   sync.Mutex
	rate int // bytes a second
}

func (u *uplink) take(n int) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	time.Sleep(time.Duration(n) * time.Second / time.Duration(u.rate))
}

func newMachine(t testing.TB, id string, limits Limits) *machine {
	t.Helper()
	m := &machine{t: t, id: id, store: newMemory(), client: &http.Transport{DisableCompression: true}}
	m.Exchange = New(Config{Network: m, Store: m.store, Limits: limits})
	handler := m.Handler()
	m.web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = r.Header.Get("Test-Peer")
		m.mu.Lock()
		answers := handler
		if m.replace != nil {
			answers = m.replace
		}
		if r.Method == http.MethodPost {
			m.asked++
		}
		m.mu.Unlock()
		answers.ServeHTTP(&countedWriter{w, m}, r)
	}))
	t.Cleanup(m.end)
	return m
}

func (m *machine) end() {
	m.web.CloseClientConnections()
	m.Exchange.Close()
	m.client.CloseIdleConnections()
	m.web.Close()
}

// kill cuts the machine off, in the middle of whatever it does.
func (m *machine) kill() {
	m.gone.Store(true)
	m.web.CloseClientConnections()
}

func (m *machine) Self() string { return m.id }

func (m *machine) Peers() (all []Peer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, other := range m.others {
		if !other.gone.Load() {
			all = append(all, &link{from: m, to: other})
		}
	}
	return all
}

func (m *machine) Blocks(ctx context.Context, cids []cid.Cid, yield func(cid.Cid, []byte) error) error {
	if m.blocks == nil {
		return errors.ErrUnsupported
	}
	return m.blocks(ctx, cids, yield)
}

func (m *machine) Find(ctx context.Context, c cid.Cid) error {
	if m.find == nil {
		return errors.ErrUnsupported
	}
	return m.find(ctx, c)
}

// link carries requests from one machine to another.
type link struct{ from, to *machine }

func (l *link) String() string { return l.to.id }

func (l *link) RoundTrip(r *http.Request) (*http.Response, error) {
	if l.to.gone.Load() {
		return nil, net.ErrClosed
	}
	base, err := url.Parse(l.to.web.URL)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.URL.Host, r.Host = base.Host, base.Host
	r.Header.Set("Test-Peer", l.from.id)
	return l.from.client.RoundTrip(r)
}

// countedWriter counts and slows down what a machine sends.
type countedWriter struct {
	http.ResponseWriter
	m *machine
}

func (w *countedWriter) Write(p []byte) (n int, err error) {
	for len(p) > 0 && err == nil {
		part := p[:min(len(p), 64<<10)]
		w.m.uplink.take(len(part))
		var k int
		k, err = w.ResponseWriter.Write(part)
		n, p = n+k, p[k:]
		w.m.sent.Add(int64(k))
	}
	return n, err
}

func (w *countedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// join connects all machines with each other.
func join(all ...*machine) {
	for _, m := range all {
		for _, other := range all {
			if other != m {
				m.mu.Lock()
				m.others = append(m.others, other)
				m.mu.Unlock()
			}
		}
	}
}

// fetchers makes n machines without any blocks.
func fetchers(t testing.TB, n int, limits Limits) (all []*machine) {
	for i := range n {
		all = append(all, newMachine(t, fmt.Sprintf("machine %d", i), limits))
	}
	return all
}

// starves is why -short, with which the race detector runs, leaves tests out.
const starves = "several machines share two processors: the race detector starves them"

// random gives n bytes that do not repeat.
func random(n int, seed uint64) []byte {
	data := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// publish puts a file into the machine's store.
func (m *machine) publish(data []byte) cid.Cid {
	m.t.Helper()
	link, err := ipfs.AddFile(m.t.Context(), m.store, bytes.NewReader(data))
	if err != nil {
		m.t.Fatal(err)
	}
	return link.CID
}

// fetch reads a file as a server does: with blocks of the own store first.
func (m *machine) fetch(ctx context.Context, c cid.Cid, w io.Writer) (err error) {
	g, release := m.Fetch(c)
	defer release()
	f, err := ipfs.OpenFile(ctx, g, c, 16)
	if err != nil {
		return err
	}
	_, err = f.WriteTo(w)
	return errors.Join(err, f.Close())
}

// mustFetch reads a file and compares it.
func (m *machine) mustFetch(c cid.Cid, want []byte) {
	m.t.Helper()
	var got bytes.Buffer
	if err := m.fetch(m.t.Context(), c, &got); err != nil || !bytes.Equal(got.Bytes(), want) {
		m.t.Errorf("%s: %d bytes of %d, %v", m.id, got.Len(), len(want), err)
	}
}

// together has all machines fetch a file at once.
func together(all []*machine, c cid.Cid, want []byte) {
	var wg sync.WaitGroup
	for _, m := range all {
		wg.Go(func() { m.mustFetch(c, want) })
	}
	wg.Wait()
}
