package names

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// anyRoot is one of many roots.
func anyRoot(t *testing.T, i int) cid.Cid {
	t.Helper()
	c, err := cid.V1Builder{Codec: cid.DagProtobuf, MhType: multihash.SHA2_256}.Sum(fmt.Appendf(nil, "root %d", i))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What a name meant before is remembered for an hour, the image that a release took the
// place of also when the new one is signed many times at once; the last two for good.
func TestFormerRoots(t *testing.T) {
	now := time.Now()
	var all []former
	add := func(i int, since, until time.Duration) {
		all = addFormer(all, former{anyRoot(t, i).String(), now.Add(since), now.Add(until)})
	}
	has := func(i int) bool {
		return slices.ContainsFunc(all, func(f former) bool { return f.Root == anyRoot(t, i).String() })
	}
	add(0, -48*time.Hour, -24*time.Hour)
	add(1, -24*time.Hour, 0)
	for i := range 100 { // signatures of the next, each within a second
		add(2+i, time.Duration(i)*time.Second, time.Duration(i+1)*time.Second)
	}
	if !has(1) || !has(101) || !has(100) || has(0) || len(all) != mostFormer {
		t.Errorf("the image before is there: %t, %d in all: %+v", has(1), len(all), all)
	}
	add(200, 100*time.Second, formerFor-time.Minute)
	if !has(1) {
		t.Errorf("%s later the image before is gone", formerFor-time.Minute)
	}
	add(201, formerFor-time.Minute, 2*formerFor)
	if len(all) != 2 || !has(201) || !has(200) {
		t.Errorf("%s later there are %d: %+v", 2*formerFor, len(all), all)
	}
	add(200, 2*formerFor, 2*formerFor+1)
	if len(all) != 2 || all[0].Root != anyRoot(t, 200).String() {
		t.Errorf("meant again: %+v", all)
	}
}

// A pull goes on below the root before, however often the new one is signed meanwhile, as
// it does after an upgrade of the program.
func TestFormerRootsOfMovedName(t *testing.T) {
	s := newStore(t)
	k := created(t, s)
	if err := s.change(k.Name, func(st *state) error { st.Before = []string{roots[3]}; return nil }); err != nil {
		t.Fatal(err)
	}
	p := publisher(t, s)
	for i := range 6 {
		if _, err := move(t, p, k, "/ipfs/"+anyRoot(t, i).String(), Move{}); err != nil {
			t.Fatal(err)
		}
		if i != 1 {
			continue
		}
		if l, err := s.load(k.Name); err != nil || len(l.before()) != 2 || !l.before()[1].Equals(root(3)) {
			t.Errorf("what an earlier version kept: %v, %v", l.before(), err)
		}
	}
	m, err := resolver(t, s).Find(t.Context(), k.Name)
	if err != nil || len(m.Before) != 5 || !m.Before[0].Equals(anyRoot(t, 4)) || !m.Before[4].Equals(anyRoot(t, 0)) {
		t.Errorf("%v, %v", m.Before, err)
	}
}
