// Package exchange decides which block to get from which peer, and gives blocks
// to peers.
//
// Peers speak a small protocol on HTTP (protocol.go), which some [Network]
// carries: this package knows addresses of neither kind. Of a file that is
// going to be read, the nodes above its leaves are fetched first; then it is
// known which blocks are missing, and only these are asked for, many in one
// request, from several peers at once, in the order of need.
//
// Machines that fetch the same file at the same time share the work: each
// block has one home among them, by rendezvous hashing, which gets the block
// from a holder and passes it to the others. So a block leaves its publisher
// about once, however many machines want it. What a home does not give is got
// from a holder directly, then by the network's own means.
//
// Nobody is trusted: each block is checked against its CID, a peer that sends a
// false one is not asked again for a while, and one that stalls is left for
// another within seconds.
package exchange

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	"github.com/image2ipfs/image2ipfs/internal/silent"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Peer is a connected node that speaks this package's protocol.
type Peer interface {
	fmt.Stringer // its ID, the same for everybody who knows it
	// RoundTripper sends requests to it. Of their URLs only the path counts.
	http.RoundTripper
}

// Network is how others are reached.
type Network interface {
	// Self is the own ID, as peers see it.
	Self() string
	// Peers are the connected peers, at this moment.
	Peers() []Peer
	// Blocks gets blocks in another way than by this protocol, from nodes that
	// do not speak it, and calls yield, never twice at the same time, for each
	// as it comes. Blocks that nobody has it may wait for until ctx ends. The
	// error matches [errors.ErrUnsupported] when there is nobody to ask.
	Blocks(ctx context.Context, cids []cid.Cid, yield func(c cid.Cid, data []byte) error) error
	// Find looks for nodes that have c and connects to some. The error matches
	// [ipfs.ErrNotFound] when there is none, [errors.ErrUnsupported] when
	// there is nobody to ask.
	Find(ctx context.Context, c cid.Cid) error
}

// Store is what this machine has: it must answer at once and never ask others.
type Store interface {
	ipfs.Haser
	// Size tells how many bytes a block has, without reading them.
	Size(ctx context.Context, c cid.Cid) (int64, error)
	// Put keeps a block that was checked, perhaps not for long.
	Put(ctx context.Context, c cid.Cid, data []byte) error
}

// Config says with whom an [Exchange] deals.
type Config struct {
	Network Network
	Store   Store
	Logger  *slog.Logger // nil for none
	Limits  Limits
	// Memory is what strangers are given of the process's memory; one of 512 MiB
	// when nil.
	Memory *budget.Budget
	// Origin tells where a peer is, the same for all IDs of one machine; nil when
	// that is not known.
	Origin func(id string) string
}

// Limits bound what peers can cost, and how long they are waited for; zero
// fields have defaults.
type Limits struct {
	InFlight int64 // bytes of blocks that are asked for at once, half of them of homes; default 16 MiB
	Answers  int   // requests of peers answered at once; default 64
	PerPeer  int   // of these, of one peer; default 12

	Stall   time.Duration // for which an answer may stand still; default 5 s
	Give    time.Duration // after which a block that nobody gives is given up; default 15 s
	Refresh time.Duration // after which a peer is asked again what it has; default 1 s
	Linger  time.Duration // for which a file nobody reads is fetched on; default 3 s
	Forgive time.Duration // for which a peer that sent a false block is not asked; default 10 min
}

func (l *Limits) setDefaults() {
	if l.InFlight == 0 {
		l.InFlight = 16 << 20
	}
	for field, value := range map[*int]int{&l.Answers: 64, &l.PerPeer: 12} {
		if *field == 0 {
			*field = value
		}
	}
	for field, value := range map[*time.Duration]time.Duration{
		&l.Stall: 5 * time.Second, &l.Give: 15 * time.Second, &l.Refresh: time.Second,
		&l.Linger: 3 * time.Second, &l.Forgive: 10 * time.Minute,
	} {
		if *field == 0 {
			*field = value
		}
	}
}

// Exchange gets blocks from peers and gives blocks to them. It is an
// [ipfs.Getter], safe for concurrent use, and must be closed.
type Exchange struct {
	net    Network
	store  Store
	log    *slog.Logger
	limits Limits
	gate   *gate // of answers to peers
	paces  *paces
	origin func(id string) string

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	wake   chan struct{} // there may be something to ask for

	read atomic.Int64 // bytes of answers with blocks that came from peers

	mu        sync.Mutex // of what follows
	peers     map[string]*peer
	others    *peer             // stands for all that [Network.Blocks] reaches
	jobs      map[string]*job   // by the root's multihash
	queue     []*job            // the same, oldest first
	blocks    map[string]*block // of jobs, by multihash
	searches  map[string]*search
	lingering int       // of these, that nobody wants any more
	inFlight  [2]int64  // bytes asked for, in each kind of lane
	asking    int       // requests for states under way
	pausedTo  time.Time // until then nothing is fetched but what is waited for
	total     Traffic   // with peers

	falseAnswers, failed int64     // of peers
	looked               time.Time // when connected peers were listed
	last                 string    // the peer that had the last single block
}

var _ ipfs.Getter = (*Exchange)(nil)

// New makes an Exchange.
func New(cfg Config) *Exchange {
	cfg.Limits.setDefaults()
	if cfg.Memory == nil {
		cfg.Memory = budget.New(0)
	}
	x := &Exchange{
		net: cfg.Network, store: cfg.Store, log: silent.Logger(cfg.Logger), limits: cfg.Limits, gate: newGate(cfg.Limits, cfg.Memory), paces: newPaces(), origin: cfg.Origin,
		wake:  make(chan struct{}, 1),
		peers: map[string]*peer{}, others: newPeer("others"), jobs: map[string]*job{},
		blocks: map[string]*block{}, searches: map[string]*search{},
	}
	if x.origin == nil {
		x.origin = func(id string) string { return id }
	}
	x.ctx, x.cancel = context.WithCancel(context.Background())
	x.tasks.Go(x.schedule)
	return x
}

// Close ends what is under way and waits for it. Requests of peers are
// answered as long as the Handler gets any.
func (x *Exchange) Close() error {
	x.mu.Lock()
	x.cancel()
	x.mu.Unlock()
	x.tasks.Wait()
	return nil
}

// task runs f in a goroutine that Close waits for; x.mu is held. After Close
// it does nothing and gives false.
func (x *Exchange) task(f func()) bool {
	if x.ctx.Err() != nil {
		return false
	}
	x.tasks.Go(f)
	return true
}

// String names the exchange as a source of blocks.
func (x *Exchange) String() string { return "peers" }

// rouse has the scheduler look again.
func (x *Exchange) rouse() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

var errClosed = fmt.Errorf("%w: the exchange with peers is closed", ipfs.ErrUnavailable)

// local reads a block that this machine has; a damaged one is as good as none.
func (x *Exchange) local(ctx context.Context, c cid.Cid) ([]byte, error) {
	if !x.store.Has(ctx, c) {
		return nil, fmt.Errorf("%w: block %s is not on this machine", ipfs.ErrNotFound, c)
	}
	data, err := x.store.Get(ctx, c)
	if err == nil && !ipfs.IsChecked(x.store, c) {
		err = ipfs.VerifyBlock(c, data)
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, ipfs.ErrNotFound) {
		x.log.Warn("a block of the own store cannot be read", "block", c.String(), "error", err)
	}
	return data, err
}

// keep puts a block into the store and tells whether it is there now.
func (x *Exchange) keep(c cid.Cid, data []byte) bool {
	if err := x.store.Put(x.ctx, c, data); err != nil {
		x.log.Debug("a block from a peer was not kept", "block", c.String(), "error", err)
		return false
	}
	return x.store.Has(x.ctx, c)
}
