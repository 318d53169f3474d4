package page

import (
	"context"
	"io"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/budget"
)

const (
	// sheetSize is in how many bytes at once a document is made and held.
	sheetSize = 64 << 10
	// sheetPatience is how long a document waits for memory.
	sheetPatience = 2 * time.Second
)

// paper takes a document while it is made, and holds of the budget what it takes until it
// was sent: many who look, or read slowly, have no more than their share.
type paper struct {
	ctx    context.Context
	memory *budget.Share
	sheets []sheet
	size   int64 // bytes
}

type sheet struct {
	text    []byte
	release func()
}

// Write implements [io.Writer]. The error matches [budget.ErrFull], or is that of the
// context.
func (p *paper) Write(text []byte) (n int, err error) {
	for len(text) > 0 {
		if err := p.room(); err != nil {
			return n, err
		}
		last := &p.sheets[len(p.sheets)-1]
		part := text[:min(len(text), sheetSize-len(last.text))]
		last.text = append(last.text, part...)
		n, text = n+len(part), text[len(part):]
		p.size += int64(len(part))
	}
	return n, nil
}

// room has the last sheet take something.
func (p *paper) room() error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	if n := len(p.sheets); n > 0 && len(p.sheets[n-1].text) < sheetSize {
		return nil
	}
	patient, cancel := context.WithTimeout(p.ctx, sheetPatience)
	defer cancel()
	release, err := p.memory.Take(patient, sheetSize)
	if err != nil {
		return err
	}
	p.sheets = append(p.sheets, sheet{make([]byte, 0, sheetSize), release})
	return nil
}

// send sends what was written, and gives back what it took as it goes.
func (p *paper) send(w io.Writer) error {
	for len(p.sheets) > 0 {
		if _, err := w.Write(p.sheets[0].text); err != nil {
			return err
		}
		p.drop()
	}
	return nil
}

func (p *paper) drop() {
	p.sheets[0].release()
	p.sheets[0] = sheet{}
	p.sheets = p.sheets[1:]
}

// close gives the rest back.
func (p *paper) close() {
	for len(p.sheets) > 0 {
		p.drop()
	}
}
