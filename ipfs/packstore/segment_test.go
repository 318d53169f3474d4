package packstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

func testEntries(n int) []entry {
	entries := make([]entry, n)
	for i := range entries {
		k := sha256.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(i)))
		entries[i] = entry{key: k, location: location{pack: packID{byte(i % 7)}, off: int64(i) << 20, size: uint32(i % maxBlock)}}
	}
	return entries
}

func writeTo(t testing.TB, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := writeEntries(&b, entries); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Every block must be found in segments of every size, also when its neighbours
// crowd one end of the key space, and none that is not there.
func TestSegmentFind(t *testing.T) {
	for _, n := range []int{0, 1, 2, 63, 64, 65, 1000, 22000} {
		for _, crowded := range []bool{false, true} {
			entries := testEntries(n)
			for i := range entries {
				if crowded && i%10 != 0 {
					copy(entries[i].key[:8], "\xfe\xdc\xba\x98\x76\x54\x32\x10")
				}
			}
			path := filepath.Join(t.TempDir(), "s.idx")
			if err := os.WriteFile(path, writeTo(t, entries), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := openSegment(path, "s.idx")
			if err != nil {
				t.Fatal(err)
			}
			if (s.mem == nil) != (n == 22000) {
				t.Errorf("segment of %d entries: in memory is %v", n, s.mem != nil)
			}
			for i := 0; i < n; i += 1 + n/3000 {
				e := entries[i]
				if i, got, err := s.find(e.key); i < 0 || got != e || err != nil {
					t.Fatalf("of %d: found %d %v %v, want %v", n, i, got, err, e)
				}
				e.key[31]++
				if i, _, err := s.find(e.key); i >= 0 || err != nil {
					t.Fatalf("of %d: found a key that is not there: %v", n, err)
				}
			}
			if s.file != nil {
				s.file.Close()
			}
		}
	}
}

// A merged segment is what writing all entries at once would give.
func TestMerge(t *testing.T) {
	entries := testEntries(1000)
	var segs []*segment
	for i := range 5 {
		s, err := memorySegment(writeTo(t, entries[i*150:i*150+400]), "part")
		if err != nil {
			t.Fatal(err)
		}
		segs = append(segs, s)
	}
	var b bytes.Buffer
	n, err := merge(&b, segs, func(e entry) bool { return e.pack != packID{3} })
	if err != nil {
		t.Fatal(err)
	}
	all, err := memorySegment(b.Bytes(), "merged")
	if err != nil || all.n != int64(n) {
		t.Fatal(n, err)
	}
	for _, e := range entries {
		i, got, err := all.find(e.key)
		if err != nil || (i >= 0) != (e.pack != packID{3}) || i >= 0 && got != e {
			t.Fatalf("found %d %v %v, want %v", i, got, err, e)
		}
	}
}

// Whatever a disk gives back, reading a segment ends without panic, and a
// segment that opens can be searched and merged.
func FuzzSegment(f *testing.F) {
	for _, n := range []int{0, 1, 100} {
		f.Add(writeTo(f, testEntries(n)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := memorySegment(data, "fuzzed")
		if err != nil {
			return
		}
		for _, e := range testEntries(3) {
			_, _, _ = s.find(e.key)
		}
		var b bytes.Buffer
		if n, err := merge(&b, []*segment{s}, func(entry) bool { return true }); err == nil && n > uint64(s.n) {
			t.Errorf("merging %d entries gives %d", s.n, n)
		}
	})
}
