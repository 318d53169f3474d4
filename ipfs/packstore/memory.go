package packstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"os"
	"slices"
	"sort"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// The file known remembers which file became of a content: see [ipfs.Memory].
// It holds records sorted by key, then a footer; integers are little-endian. It
// is replaced as a whole, and when it is damaged it counts as empty: it spares
// work and nothing depends on it.
//
//	record  SHA-256 of the key 32 | digest 32 | hash in the file's CID 32 | size 8 | DAG size 8 | codec 8 | numbers 40
//	footer  magic 8 | CRC-32C of records and magic 4

const (
	recordSize  = 160
	memoryMagic = "i2i-mem2"
	maxRecords  = 65_536 // blocks, about 10 MiB
)

type record struct {
	key, digest, hash [32]byte
	size, dag, codec  uint64
	numbers           [5]uint64
}

// newRecord makes a record; ok is false for what has no place in one.
func newRecord(name string, k ipfs.Known) (r record, ok bool) {
	mh := k.CID.Hash()
	sum := digestBytes(k.Digest)
	if len(sum) != 32 || len(mh) != 34 || k.CID.Version() != 1 || mh[0] != multihash.SHA2_256 || mh[1] != 32 {
		return r, false
	}
	return record{
		key: sha256.Sum256([]byte(name)), digest: [32]byte(sum), hash: [32]byte(mh[2:]),
		size: uint64(k.Size), dag: k.DAG, codec: k.CID.Type(), numbers: k.Numbers,
	}, true
}

func digestBytes(d digest.Digest) []byte {
	if d.Validate() != nil || d.Algorithm() != digest.SHA256 {
		return nil
	}
	sum, _ := hex.DecodeString(d.Encoded()) // Validate has seen it
	return sum
}

func (r record) cid() cid.Cid {
	return cid.NewCidV1(r.codec, append([]byte{multihash.SHA2_256, 32}, r.hash[:]...))
}

func (r record) known() ipfs.Known {
	return ipfs.Known{
		Link:   ipfs.Link{CID: r.cid(), Size: int64(r.size), DAG: r.dag},
		Digest: digest.NewDigestFromBytes(digest.SHA256, r.digest[:]), Numbers: r.numbers,
	}
}

func (r record) append(b []byte) []byte {
	b = append(append(append(b, r.key[:]...), r.digest[:]...), r.hash[:]...)
	for _, n := range append([]uint64{r.size, r.dag, r.codec}, r.numbers[:]...) {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return b
}

func readRecord(b []byte) record {
	number := func(i int) uint64 { return binary.LittleEndian.Uint64(b[96+8*i:]) }
	return record{
		key: [32]byte(b), digest: [32]byte(b[32:]), hash: [32]byte(b[64:]),
		size: number(0), dag: number(1), codec: number(2),
		numbers: [5]uint64{number(3), number(4), number(5), number(6), number(7)},
	}
}

// memory is the content of the file, records only.
type memory []byte

func (d dir) readMemory() (memory, error) {
	data, err := os.ReadFile(d.memory())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	n := len(data) - len(memoryMagic) - 4
	if n < 0 || n%recordSize != 0 || !bytes.HasSuffix(data[:n+len(memoryMagic)], []byte(memoryMagic)) ||
		crc32.Checksum(data[:n+len(memoryMagic)], crcTable) != binary.LittleEndian.Uint32(data[n+len(memoryMagic):]) {
		return nil, nil
	}
	return data[:n], nil
}

func (m memory) len() int          { return len(m) / recordSize }
func (m memory) key(i int) []byte  { return m[i*recordSize:][:32] }
func (m memory) at(i int) record   { return readRecord(m[i*recordSize:][:recordSize]) }
func (m memory) has(r record) bool { got, ok := m.find(r.key); return ok && got == r }

func (m memory) find(key [32]byte) (record, bool) {
	i := sort.Search(m.len(), func(i int) bool { return bytes.Compare(m.key(i), key[:]) >= 0 })
	if i == m.len() || !bytes.Equal(m.key(i), key[:]) {
		return record{}, false
	}
	return m.at(i), true
}

// writeMemory replaces the file. Too many records are thinned out: keys are
// spread evenly, so that every image loses the same.
func (d dir) writeMemory(records []record) error {
	slices.SortFunc(records, func(a, b record) int { return bytes.Compare(a.key[:], b.key[:]) })
	for len(records) > maxRecords {
		half := records[:0]
		for i := 0; i < len(records); i += 2 {
			half = append(half, records[i])
		}
		records = half
	}
	data := make([]byte, 0, len(records)*recordSize+len(memoryMagic)+4)
	for _, r := range records {
		data = r.append(data)
	}
	data = append(data, memoryMagic...)
	data = binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, crcTable))
	return d.writeFile(d.memory(), data)
}

// remember adds records to the file. The caller holds the commit lock.
func (d dir) remember(learnt []record) error {
	m, err := d.readMemory()
	if err != nil {
		return err
	}
	fresh := map[[32]byte]record{}
	for _, r := range learnt {
		if !m.has(r) {
			fresh[r.key] = r
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	records := make([]record, 0, m.len()+len(fresh))
	for i := range m.len() {
		if r := m.at(i); fresh[r.key] == (record{}) {
			records = append(records, r)
		}
	}
	for _, r := range fresh {
		records = append(records, r)
	}
	return d.writeMemory(records)
}

// forget drops records of what is no longer in the store. The caller holds the commit
// lock.
func (g *collector) forget(now *view) error {
	m, err := g.s.dir.readMemory()
	if err != nil {
		return err
	}
	var records []record
	for i := range m.len() {
		r := m.at(i)
		pos, _, err := g.all.find(key(r.hash))
		if err != nil {
			return err
		}
		kept := pos >= 0 && g.live.has(pos) && (r.codec == cid.Raw || g.walked.has(pos)) // walked: all below is live
		if kept || pos < 0 && now.has(key(r.hash)) {                                     // or it came meanwhile
			records = append(records, r)
		}
	}
	if len(records) == m.len() {
		return nil
	}
	err = g.s.dir.writeMemory(records)
	if isDiskFull(err) { // it only spares work, but must not tell of what is gone
		_, err = removeFile(g.s.dir.memory())
	}
	return err
}

// Remember implements [ipfs.Memory].
func (t *tx) Remember(name string, k ipfs.Known) {
	if r, ok := newRecord(name, k); ok {
		t.mu.Lock()
		t.learnt = append(t.learnt, r)
		t.mu.Unlock()
	}
}

// Recall implements [ipfs.Memory]. Anything that is not in order counts as
// forgotten.
func (t *tx) Recall(ctx context.Context, name string) (ipfs.Known, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.remembers {
		t.remembers = true
		t.memory, _ = t.s.dir.readMemory()
	}
	r, ok := t.memory.find(sha256.Sum256([]byte(name)))
	if !ok || t.usable(t.main) != nil {
		return ipfs.Known{}, false
	}
	k := r.known()
	if k.Blocks, ok = t.whole(ctx, k.CID); !ok {
		return ipfs.Known{}, false
	}
	return k, true
}

// Whole implements [ipfs.Checker].
func (t *tx) Whole(ctx context.Context, c cid.Cid) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.usable(t.main) != nil {
		return false
	}
	_, ok := t.whole(ctx, c)
	return ok
}

// whole tells whether all blocks of a file are in the store and right, and how many
// they are.
func (t *tx) whole(ctx context.Context, root cid.Cid) (blocks int, ok bool) {
	for todo := []cid.Cid{root}; len(todo) > 0; blocks++ {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if stored, err := t.stored(ctx, c); err != nil || !stored {
			return blocks, false
		}
		if c.Type() == cid.Raw {
			continue
		}
		data, err := t.s.Get(ctx, c)
		if err != nil || ipfs.VerifyBlock(c, data) != nil {
			return blocks, false
		}
		links, err := ipfs.Links(c, data)
		if err != nil {
			return blocks, false
		}
		for _, l := range links {
			todo = append(todo, l.Cid)
		}
	}
	return blocks, true
}
