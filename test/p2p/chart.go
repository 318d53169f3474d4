//go:build linux

package main

import (
	"bytes"
	"fmt"
	"math"
)

// growth is how long it takes until all of n machines have an image.
type growth struct {
	title        string
	size         string
	n            []int
	ours, theirs []float64 // seconds
	left         []float64 // images that left the publisher
	cpu          []float64 // seconds of all servers
}

func (g *growth) add(n int, ours, theirs spread, size int64) {
	g.n = append(g.n, n)
	g.ours, g.theirs = append(g.ours, ours.wall.Seconds()), append(g.theirs, theirs.wall.Seconds())
	g.left = append(g.left, float64(ours.left)/float64(size))
	g.cpu = append(g.cpu, ours.cpu.Seconds())
}

const (
	width, height = 720, 400
	left, right   = 60, 20
	top, bottom   = 40, 50
)

// svg draws both curves, and the time that one image takes over the uplink.
func (g *growth) svg(floor float64) []byte {
	most := floor
	for _, v := range append(append([]float64{}, g.ours...), g.theirs...) {
		most = max(most, v)
	}
	step := nice(most / 5)
	most = math.Ceil(most/step) * step
	last := float64(g.n[len(g.n)-1])
	x := func(n float64) float64 { return left + n/last*(width-left-right) }
	y := func(s float64) float64 { return height - bottom - s/most*(height-top-bottom) }
	b := &bytes.Buffer{}
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`+"\n", width, height)
	fmt.Fprintf(b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	fmt.Fprintf(b, `<text x="%d" y="22" font-size="14">Seconds until all machines have an image of %s; dashed: once over the uplink</text>`+"\n", left, g.size)
	for v := 0.0; v <= most+step/2; v += step {
		fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n",
			left, width-right, y(v), y(v), left-8, y(v)+4, v)
	}
	for _, n := range g.n {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%d</text>`+"\n", x(float64(n)), height-bottom+20, n)
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">machines that pull at once</text>`+"\n", (width+left)/2, height-10)
	fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#888" stroke-dasharray="4 4"/>`+"\n", left, width-right, y(floor), y(floor))
	for _, c := range []struct {
		name, colour string
		values       []float64
	}{{"docker-registry", "#c0392b", g.theirs}, {"image2ipfs", "#1f77b4", g.ours}} {
		fmt.Fprint(b, `<polyline fill="none" stroke-width="2" stroke="`+c.colour+`" points="`)
		for i, v := range c.values {
			fmt.Fprintf(b, "%.1f,%.1f ", x(float64(g.n[i])), y(v))
		}
		fmt.Fprint(b, `"/>`+"\n")
		for i, v := range c.values {
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x(float64(g.n[i])), y(v), c.colour)
		}
		end := c.values[len(c.values)-1]
		fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end" fill="%s">%s</text>`+"\n", width-right, y(end)-8, c.colour, c.name)
	}
	fmt.Fprintln(b, "</svg>")
	return b.Bytes()
}

// nice rounds up to 1, 2 or 5 times a power of ten.
func nice(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 2, 5} {
		if v <= n*power {
			return n * power
		}
	}
	return 10 * power
}
