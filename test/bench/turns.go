package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// contender is one of those who take turns. run adds to the table what it has
// measured, under name and under names that begin with it.
type contender struct {
	name  string
	run   func(t *table) error
	times int // how often it runs; 0 for in every round
}

// Before a contender runs, primed is the most that is written, and slack what is
// written beyond the size of its input: it has buffers, too.
const (
	primed = 2 << 30
	slack  = 128 << 20
)

// turns runs all contenders in every round, the first of which warms disk and
// page cache and does not count. Each begins with nothing left to be written to
// disk and with memory that the system has in hand: whoever first uses memory
// that a virtual machine has to ask its host for would pay for all others. Who
// does not finish within the limit runs no more.
func (b *bench) turns(t *table, rounds int, size int64, contenders []contender) error {
	slow := map[string]bool{}
	for round := range rounds + 1 {
		b.say("%s, round %d of %d", t.title, round, rounds)
		t.keep = round > 0
		for _, c := range contenders {
			if slow[c.name] || c.times > 0 && (round == 0 || round > c.times) {
				continue
			}
			syscall.Sync()
			if err := b.prime(min(size+slack, primed)); err != nil {
				return err
			}
			err := c.run(t)
			if errors.Is(err, errSlow) {
				slow[c.name] = true
				t.slow(c.name, b.limit)
				err = nil
			}
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return nil
}

// prime writes a file of size bytes and removes it.
func (b *bench) prime(size int64) error {
	dir, err := b.fresh("prime")
	if err != nil {
		return err
	}
	f, err := os.Create(dir + "/file")
	if err != nil {
		return err
	}
	zero := make([]byte, maxPiece)
	for left := size; left > 0 && err == nil; left -= int64(len(zero)) {
		_, err = f.Write(zero[:min(left, int64(len(zero)))])
	}
	return errors.Join(err, f.Close(), os.RemoveAll(dir))
}
