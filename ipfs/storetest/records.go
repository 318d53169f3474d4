package storetest

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// RunRecords tests the stores that open makes as [ipfs.Recorder]s; see [Run].
func RunRecords(t *testing.T, open func(t *testing.T) ipfs.Recorder) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s ipfs.Recorder)
	}{
		{"records come back as they were", testRecords},
		{"a record of what is not there is refused", testRecordOfNothing},
		{"records that are over are gone", testRecordsOver},
		{"a root and its records are kept together", testRootAndRecords},
		{"a space has one lock", testLockSpace},
		{"a record that is there has its say", testCommitRevised},
		{"records are changed and forgotten", testRevise},
		{"a root goes if it may", testRemoveIf},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// Keep commits records of a directory of files.
func Keep(t testing.TB, s ipfs.Recorder, files map[string][]byte, records ...ipfs.Record) cid.Cid {
	t.Helper()
	tx := beginRecords(t, s)
	defer tx.Abort()
	c := Add(t, tx, files)
	for i := range records {
		records[i].CID = c
	}
	if _, err := tx.CommitRecords(t.Context(), nil, records...); err != nil {
		t.Fatal(err)
	}
	return c
}

func beginRecords(t testing.TB, s ipfs.Recorder) ipfs.RecordTx {
	t.Helper()
	tx, err := s.BeginRecords(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

// Names that a file system would mistake for one another, or could not have.
var odd = []string{"v1", "V1", "a/b", "..", "con", "sha256:0", strings.Repeat("x", 300)}

func testRecords(t *testing.T, s ipfs.Recorder) {
	var records []ipfs.Record
	var keys []ipfs.Key
	for _, name := range odd {
		k := ipfs.Key{Kind: "tag", Space: "team/" + name, Name: name}
		records = append(records, ipfs.Record{Key: k, Value: json.RawMessage(`{"of":"` + name + `"}`)})
		keys = append(keys, k)
	}
	c := Keep(t, s, map[string][]byte{"f": Random(100, "records")}, records...)
	for i, k := range keys {
		got, err := s.Record(t.Context(), k)
		if err != nil || !got.CID.Equals(c) || got.Key != k || string(got.Value) != string(records[i].Value) {
			t.Errorf("%v: %+v, %v", k, got, err)
		}
		list, err := s.Records(t.Context(), "tag", k.Space)
		if err != nil || len(list) != 1 || list[0].Key != k {
			t.Errorf("those of %q: %+v, %v", k.Space, list, err)
		}
	}
	spaces, err := s.Spaces(t.Context(), "tag")
	if err != nil || len(spaces) != len(odd) || !slices.IsSorted(spaces) {
		t.Errorf("spaces %q, %v", spaces, err)
	}
	if spaces, err := s.Spaces(t.Context(), "blob"); err != nil || len(spaces) > 0 {
		t.Errorf("spaces of another kind %q, %v", spaces, err)
	}
	again := records[0]
	again.Value = json.RawMessage(`"another"`)
	Keep(t, s, map[string][]byte{"f": nil}, again)
	if got, err := s.Record(t.Context(), keys[0]); err != nil || string(got.Value) != `"another"` {
		t.Errorf("replaced: %+v, %v", got, err)
	}
	if err := s.Forget(t.Context(), keys[0], keys[1], keys[0]); err != nil {
		t.Errorf("forgetting: %v", err)
	}
	if _, err := s.Record(t.Context(), keys[1]); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("a forgotten one: %v, want ErrNotFound", err)
	}
	if roots, err := s.Roots(t.Context()); err != nil || len(roots) > 0 {
		t.Errorf("records alone publish nothing, and there are %v, %v", roots, err)
	}
}

func testRecordOfNothing(t *testing.T, s ipfs.Recorder) {
	tx := beginRecords(t, s)
	c := Add(t, discardPutter{}, map[string][]byte{"f": Random(100, "of nothing")})
	_, err := tx.CommitRecords(t.Context(), nil, ipfs.Record{Key: ipfs.Key{Kind: "tag", Space: "app", Name: "1"}, CID: c})
	if !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("a record of a block that was not put: %v, want ErrNotFound", err)
	}
	tx = beginRecords(t, s)
	if _, err := tx.CommitRecords(t.Context(), nil); err == nil {
		t.Error("neither root nor records, and no error")
	}
}

func testRecordsOver(t *testing.T, s ipfs.Recorder) {
	over := ipfs.Record{Key: ipfs.Key{Kind: "blob", Space: "app", Name: "old"}, Until: time.Now().Add(-time.Minute)}
	kept := ipfs.Record{Key: ipfs.Key{Kind: "blob", Space: "app", Name: "new"}, Until: time.Now().Add(time.Hour)}
	Keep(t, s, map[string][]byte{"f": Random(100, "over")}, over, kept)
	if _, err := s.Record(t.Context(), over.Key); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("one that is over: %v, want ErrNotFound", err)
	}
	if list, err := s.Records(t.Context(), "blob", "app"); err != nil || len(list) != 1 || list[0].Key != kept.Key {
		t.Errorf("%+v, %v", list, err)
	}
	if err := s.Forget(t.Context(), kept.Key); err != nil {
		t.Error(err)
	}
	if spaces, err := s.Spaces(t.Context(), "blob"); err != nil || len(spaces) > 0 {
		t.Errorf("spaces of records that are over: %q, %v", spaces, err)
	}
}

func testRootAndRecords(t *testing.T, s ipfs.Recorder) {
	tx := beginRecords(t, s)
	c := Add(t, tx, map[string][]byte{"f": Random(100, "together")})
	k := ipfs.Key{Kind: "tag", Space: "app", Name: "1"}
	if _, err := tx.CommitRecords(t.Context(), []ipfs.Root{{CID: c, Names: []string{"app:1"}}}, ipfs.Record{Key: k, CID: c}); err != nil {
		t.Fatal(err)
	}
	if r, ok := isKept(t, s, c); !ok || !slices.Equal(r.Names, []string{"app:1"}) {
		t.Errorf("the root: %+v, %v", r, ok)
	}
	if _, err := s.Record(t.Context(), k); err != nil {
		t.Errorf("the record: %v", err)
	}
}

func testCommitRevised(t *testing.T, s ipfs.Recorder) {
	key := func(name string) ipfs.Key { return ipfs.Key{Kind: "blob", Space: "app", Name: name} }
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	files := map[string][]byte{"f": Random(100, "revised")}
	Keep(t, s, files, ipfs.Record{Key: key("there"), Value: json.RawMessage(`1`)}, ipfs.Record{Key: key("over"), Until: time.Now().Add(-time.Minute)})
	tx := beginRecords(t, s)
	c := Add(t, tx, files)
	asked := 0
	revise := func(is, was ipfs.Record) ipfs.Record {
		if asked++; is.Key != key("there") || was.Key != is.Key || !was.Until.IsZero() || string(was.Value) != "1" || !is.Until.Equal(until) {
			t.Errorf("%+v in place of %+v", is, was)
		}
		return ipfs.Record{Until: was.Until, Value: json.RawMessage(`3`)}
	}
	if _, err := tx.CommitRevised(t.Context(), revise, nil,
		ipfs.Record{Key: key("there"), CID: c, Until: until, Value: json.RawMessage(`2`)},
		ipfs.Record{Key: key("over"), CID: c, Until: until}, ipfs.Record{Key: key("new"), CID: c, Until: until}); err != nil || asked != 1 {
		t.Fatalf("asked about %d, %v", asked, err)
	}
	for name, want := range map[string]time.Time{"there": {}, "over": until, "new": until} {
		if r, err := s.Record(t.Context(), key(name)); err != nil || !r.CID.Equals(c) || !r.Until.Equal(want) || name == "there" && string(r.Value) != "3" {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func testRevise(t *testing.T, s ipfs.Recorder) {
	key := func(name string) ipfs.Key { return ipfs.Key{Kind: "blob", Space: "app", Name: name} }
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	c := Keep(t, s, map[string][]byte{"f": Random(100, "changed")}, ipfs.Record{Key: key("changes"), Value: json.RawMessage(`1`)},
		ipfs.Record{Key: key("goes")}, ipfs.Record{Key: key("over"), Until: time.Now().Add(-time.Minute)}, ipfs.Record{Key: key("other")})
	err := s.Revise(t.Context(), []ipfs.Key{key("changes"), key("goes"), key("over"), key("nothing")}, func(r ipfs.Record) (ipfs.Record, bool) {
		if r.Name != "changes" && r.Name != "goes" {
			t.Errorf("asked about %+v", r)
		}
		return ipfs.Record{Until: until, Value: r.Value}, r.Name == "changes"
	})
	if err != nil {
		t.Fatal(err)
	}
	if list, err := s.Records(t.Context(), "blob", "app"); err != nil || len(list) != 2 || !list[0].Until.Equal(until) || string(list[0].Value) != "1" || !list[0].CID.Equals(c) || list[1].Name != "other" {
		t.Errorf("%+v, %v", list, err)
	}
}

func testRemoveIf(t *testing.T, s ipfs.Recorder) {
	tx := beginRecords(t, s)
	c := Add(t, tx, map[string][]byte{"f": Random(100, "may go")})
	k := ipfs.Key{Kind: "tag", Space: "app", Name: "1"}
	if _, err := tx.CommitRecords(t.Context(), []ipfs.Root{{CID: c, Names: []string{"app:1"}, Pushed: true}}, ipfs.Record{Key: k, CID: c}); err != nil {
		t.Fatal(err)
	}
	for _, may := range []bool{false, true} {
		gone, err := s.RemoveIf(t.Context(), c, func(r ipfs.Root) (bool, error) {
			if _, err := s.Record(t.Context(), k); err != nil || !r.CID.Equals(c) || !r.Pushed || !slices.Equal(r.Names, []string{"app:1"}) {
				t.Errorf("asked about %+v, %v", r, err)
			}
			return may, nil
		})
		if _, kept := isKept(t, s, c); err != nil || gone != may || kept == may {
			t.Errorf("it may go: %t; gone %t, kept %t, %v", may, gone, kept, err)
		}
	}
	if _, err := s.RemoveIf(t.Context(), c, func(ipfs.Root) (bool, error) { return true, nil }); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("once more: %v, want ErrNotFound", err)
	}
}

func testLockSpace(t *testing.T, s ipfs.Recorder) {
	unlock, err := s.LockSpace(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.LockSpace(t.Context(), "team/app")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	go func() {
		again, err := s.LockSpace(t.Context(), "app")
		if err == nil {
			err = again()
		}
		got <- err
	}()
	select {
	case err := <-got:
		t.Errorf("two have the lock of a space: %v", err)
	case <-time.After(100 * time.Millisecond): // longer is no fault, only less of a test
	}
	if err := errors.Join(unlock(), other(), <-got); err != nil {
		t.Error(err)
	}
}
