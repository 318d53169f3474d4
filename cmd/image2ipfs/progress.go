package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// progress tells on standard error how far a long read is: as a bar on a
// terminal, else as a plain line every few seconds. It is safe for concurrent
// use.
type progress struct {
	mu    sync.Mutex
	w     io.Writer
	bar   *progressbar.ProgressBar
	name  string
	total int64 // bytes, -1 when unknown
	read  int64
	last  time.Time
	quiet bool
}

const plainInterval = 5 * time.Second

func newProgress(w io.Writer, name string, total int64, quiet bool) *progress {
	p := &progress{w: w, name: name, total: total, last: time.Now(), quiet: quiet}
	f := terminal(w)
	if !quiet && f != nil && term.IsTerminal(int(f.Fd())) {
		p.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(f),
			progressbar.OptionSetDescription(printable(short(name))),
			progressbar.OptionShowBytes(true),
			progressbar.OptionShowTotalBytes(true),
			progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionFullWidth(),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
		)
	}
	return p
}

// short leaves room for the bar beside a long name.
func short(name string) string {
	const most = 24
	letters := []rune(name)
	if len(letters) <= most {
		return name
	}
	return string(letters[:most/2]) + "…" + string(letters[len(letters)-most/2:])
}

// add is told of n more bytes.
func (p *progress) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.read += int64(n)
	switch {
	case p.bar != nil:
		_ = p.bar.Add(n) // a bar that cannot be drawn is no failure
	case !p.quiet && time.Since(p.last) >= plainInterval:
		p.last = time.Now()
		if p.total > 0 {
			fmt.Fprintf(p.w, "%s: %s of %s read (%d %%)\n", p.name, oci.BytesText(p.read), oci.BytesText(p.total), p.read*100/p.total)
		} else {
			fmt.Fprintf(p.w, "%s: %s read\n", p.name, oci.BytesText(p.read))
		}
	}
}

// expect is told how much there is to read, when that is known.
func (p *progress) expect(total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total = total
	if p.bar != nil {
		p.bar.ChangeMax64(total)
	}
}

// line prints a line of its own.
func (p *progress) line(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.quiet {
		return
	}
	if p.bar != nil {
		_ = p.bar.Clear() // the next add draws it again
	}
	fmt.Fprintln(p.w, text)
}

func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}

// newBytesText says how much of a publication is new, where the store knows.
func newBytesText(s ipfs.Stats) string {
	if s.NewBytes < 0 {
		return ""
	}
	return ", " + oci.BytesText(s.NewBytes) + " newly stored"
}
