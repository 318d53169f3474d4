package page

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/image2ipfs/image2ipfs/oci"
)

const (
	// trafficStep is the time that one sample is about.
	trafficStep = 10 * time.Minute
	// maxSamples are a day's.
	maxSamples = 144
)

// sample is what happened in one step.
type sample struct {
	at       time.Time // its beginning
	requests int64
	bytes    int64 // of answers
	stored   int64 // bytes of the blobs that are kept at its end
	roots    int
}

// Traffic remembers of the last day how much was asked and sent, and how large the store
// was. It is safe for concurrent use; its zero value is empty.
type Traffic struct {
	mu  sync.Mutex
	all []sample
}

// Count adds an answered request.
func (t *Traffic) Count(at time.Time, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.now(at)
	s.requests++
	s.bytes += bytes
}

// Stored notes what the store keeps.
func (t *Traffic) Stored(at time.Time, roots int, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.now(at)
	s.roots, s.stored = roots, bytes
}

// now is the sample of a time, which may be new; what was stored is as it was.
func (t *Traffic) now(at time.Time) *sample {
	at = at.Truncate(trafficStep)
	if len(t.all) == 0 {
		t.all = []sample{{at: at}}
	}
	for last := t.all[len(t.all)-1]; last.at.Before(at); last = t.all[len(t.all)-1] {
		next := last.at.Add(trafficStep)
		if at.Sub(last.at) > trafficStep*maxSamples {
			next = at
		}
		t.all = append(t.all, sample{at: next, roots: last.roots, stored: last.stored})
	}
	if more := len(t.all) - maxSamples; more > 0 {
		t.all = append(t.all[:0], t.all[more:]...)
	}
	return &t.all[len(t.all)-1]
}

// trafficView is what is shown of it.
type trafficView struct {
	Requests, Bytes int64
	Stored          int64
	Roots           int
	Charts          []chart
	Hours           []hour
}

// chart is a drawing: bars of a series, in a box of chartWidth by chartHeight.
type chart struct {
	Title, Label string
	Top          string // what the highest bar is
	Bars         []bar
	From, To     time.Time
}

type bar struct{ X, Y, Width, Height int }

// hour is a line of the table that says the same as the charts.
type hour struct {
	At              time.Time
	Requests, Bytes int64
	Stored          int64
	Roots           int
}

const chartWidth, chartHeight = 720, 120

func (t *Traffic) view() *trafficView {
	t.mu.Lock()
	all := append([]sample(nil), t.all...)
	t.mu.Unlock()
	v := &trafficView{}
	for _, s := range all {
		v.Requests += s.requests
		v.Bytes += s.bytes
		v.Stored, v.Roots = s.stored, s.roots
		if n := len(v.Hours); n > 0 && v.Hours[n-1].At.Equal(s.at.Truncate(time.Hour)) {
			h := &v.Hours[n-1]
			h.Requests, h.Bytes, h.Stored, h.Roots = h.Requests+s.requests, h.Bytes+s.bytes, s.stored, s.roots
		} else {
			v.Hours = append(v.Hours, hour{s.at.Truncate(time.Hour), s.requests, s.bytes, s.stored, s.roots})
		}
	}
	v.Charts = []chart{
		draw("Bytes sent", all, func(s sample) int64 { return s.bytes }, oci.BytesText),
		draw("Requests", all, func(s sample) int64 { return s.requests }, func(n int64) string { return fmt.Sprint(n) }),
		draw("Bytes of images kept", all, func(s sample) int64 { return s.stored }, oci.BytesText),
	}
	return v
}

// draw makes a chart of a series.
func draw(title string, all []sample, of func(sample) int64, text func(int64) string) chart {
	c := chart{Title: title}
	var most int64
	for _, s := range all {
		most = max(most, of(s))
	}
	c.Top = text(most)
	width := chartWidth / maxSamples
	for i, s := range all {
		height := 0
		if most > 0 {
			height = int(float64(of(s)) / float64(most) * chartHeight)
		}
		x := chartWidth - (len(all)-i)*width
		c.Bars = append(c.Bars, bar{X: x, Y: chartHeight - height, Width: width - 1, Height: height})
	}
	if len(all) > 0 {
		c.From, c.To = all[0].at, all[len(all)-1].at.Add(trafficStep)
	}
	c.Label = strings.TrimSpace(fmt.Sprintf("%s in steps of ten minutes, at most %s", title, c.Top))
	return c
}
