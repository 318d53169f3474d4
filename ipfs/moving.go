package ipfs

import (
	"context"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ref"
)

// Names finds what names that move mean. It is safe for concurrent use.
type Names interface {
	// Find gives what an IPNS name in base36, or a domain with a DNSLink, means now.
	// Errors match [ErrNotFound] when nobody knows it or it means no root,
	// [ErrUnavailable] when nobody answers or what is known has expired, [ErrCorrupt]
	// when only false records were found.
	Find(ctx context.Context, moving string) (Meaning, error)
	// Listed tells whether a domain may be asked for.
	Listed(domain string) bool
}

// Askable says who may be asked, beside what is kept here, what a name means.
type Askable int

// Who may be asked.
const (
	AskAll    Askable = iota
	AskPublic         // those that are asked for everyone
	AskNobody         // not even DNS
)

type askableKey struct{}

// MayAsk has names found under ctx by asking those alone.
func MayAsk(ctx context.Context, who Askable) context.Context {
	return context.WithValue(ctx, askableKey{}, who)
}

// MayBeAsked tells who may be asked under ctx; all, unless [MayAsk] says otherwise.
func MayBeAsked(ctx context.Context) Askable {
	who, _ := ctx.Value(askableKey{}).(Askable)
	return who
}

// Meaning is what a name that moves means.
type Meaning struct {
	Root   cid.Cid
	Before []cid.Cid // what it meant before, the latest first; 16 at most
	// Steps are the names that led to the root, the one that was asked for first.
	Steps []string
	// Domain is the one whose DNSLink was trusted on the way; "" for none.
	Domain   string
	Sequence uint64    // of the record; 0 without one
	Got      time.Time // when this was last heard
	Fresh    time.Time // until when nobody is asked again
	Until    time.Time // when the record's validity ends; zero without one
	// Stale says why nobody has told of it since Fresh; nil while it is fresh, or was
	// just heard.
	Stale  error
	Record []byte // of the name itself, signed; nil of a domain
}

// Meant are names of which one is known, for as long as somebody pulls it: what name has
// as its Moving means its Root, and nothing else means anything.
func Meant(name ref.Name) Names { return meant{name} }

type meant struct{ ref.Name }

func (m meant) Find(_ context.Context, moving string) (Meaning, error) {
	if moving != m.Moving {
		return Meaning{}, fmt.Errorf("%w: %s is not the name that is pulled, %s", ErrNotFound, moving, m.Name)
	}
	return Meaning{Root: m.Root, Steps: []string{moving}}, nil
}

func (m meant) Listed(domain string) bool { return domain == m.Moving }

// RecordSource is asked for records of IPNS names, and not trusted.
type RecordSource interface {
	// String names it for messages.
	String() string
	// Record gives the record of a name, unchecked, of at most a little more than the
	// 10 KiB that a record may have, and for how long the source has had it, 0 where it
	// does not say. Errors match [ErrNotFound] when it has none, or [ErrUnavailable].
	Record(ctx context.Context, name string) (raw []byte, age time.Duration, err error)
}

// RecordsSource is several sources, each of which answers when it can.
type RecordsSource interface {
	// Records asks all for the record of a name, has yield called with what each says, as
	// [RecordSource] does, by several goroutines at once, and returns when all have
	// answered.
	Records(ctx context.Context, name string, yield func(from string, raw []byte, age time.Duration, err error))
}

// RecordSink takes records of IPNS names, for others to find.
type RecordSink interface {
	String() string
	// PutRecord hands over a record. Errors match [ErrUnavailable] where nobody takes it
	// now, and name the sink.
	PutRecord(ctx context.Context, name string, raw []byte) error
}

// MaxRecord is how many bytes a source reads of a record at most: one more than one may
// have, so that too large a one is seen to be that.
const MaxRecord = 10<<10 + 1

// TypeRecord is the media type of a record (trustless gateway specification,
// "application/vnd.ipfs.ipns-record").
const TypeRecord = "application/vnd.ipfs.ipns-record"

// LoopID names servers of this program in CDN-Loop (RFC 8586), by which they ask gateways
// for records: one that is asked so by another asks no further, since two may be each
// other's source.
const LoopID = "image2ipfs"

type forOthersKey struct{}

// ForOthers has sources told that who asks them is a server that others ask.
func ForOthers(ctx context.Context) context.Context {
	return context.WithValue(ctx, forOthersKey{}, true)
}

// IsForOthers tells whether ctx is one of [ForOthers].
func IsForOthers(ctx context.Context) bool { return ctx.Value(forOthersKey{}) != nil }
