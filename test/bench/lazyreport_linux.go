package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"time"
)

// lazyUpdate is what podman fetched of an upgraded image, and that image's size.
type lazyUpdate struct{ bytes, size int64 }

// lazyTargets are what a lazy start may take of a whole one, by form and link.
var lazyTargets = map[string]map[string]float64{
	lazyGzip.name:   {"bytes": 0.14, "no limit": 0.33, "100 Mbit/s": 0.28, "50 Mbit/s": 0.18, "from a peer, 50 Mbit/s": 0.25},
	zstdChunks.name: {"bytes": 0.13, "no limit": 0.5, "100 Mbit/s": 0.25, "50 Mbit/s": 0.32, "from a peer, 50 Mbit/s": 0.35},
}

// seconds is the median.
func seconds(all []lazyFigure) float64 {
	var walls []time.Duration
	for _, f := range all {
		walls = append(walls, f.wall)
	}
	return median(walls).Seconds()
}

// megabytes is the median, too.
func megabytes(all []lazyFigure) float64 {
	var n []int64
	for _, f := range all {
		n = append(n, f.bytes)
	}
	return float64(median(n)) / 1e6
}

// lazyReport adds the section, and writes the picture where it is wanted.
func (b *bench) lazyReport(results []lazyResult, update lazyUpdate) {
	lines := []string{"| layers | link | whole s | lazily s | | whole MB | lazily MB |", "|---|---|---|---|---|---|---|"}
	for _, r := range results {
		for _, l := range lazyLinks {
			full, lazy := r.full[l.name], r.lazy[l.name]
			ratio := seconds(lazy) / seconds(full)
			lines = append(lines, fmt.Sprintf("| %s, %.1f MB | %s | %.1f | %.1f | %.2f x | %.1f | %.1f |",
				r.form.name, float64(r.size)/1e6, l.name, seconds(full), seconds(lazy), ratio, megabytes(full), megabytes(lazy)))
			b.out.verdict(verdict{what: "lazily: time until the first output, " + r.form.name + ", " + l.name, got: ratio, atMost: lazyTargets[r.form.name][l.name], unit: "of a whole pull"})
		}
		bytes := megabytes(r.lazy["no limit"]) * 1e6 / float64(r.size)
		b.out.verdict(verdict{what: "lazily: bytes until the first output, " + r.form.name, got: bytes, atMost: lazyTargets[r.form.name]["bytes"], unit: "of the image"})
	}
	b.out.verdict(verdict{what: "podman's update after package upgrades, zstd:chunked, bytes", got: float64(update.bytes) / float64(update.size), atMost: 0.10, unit: "of the image"})
	b.out.section("Lazy pulls beside whole ones, by containerd and stargz-snapshotter", append(lines, "",
		fmt.Sprintf("`python3 -c '%s'` in a Debian with Python; bytes are all that left the publisher, with headers. podman fetched %.1f MB for an upgraded root of %.1f MB.", firstOutput, float64(update.bytes)/1e6, float64(update.size)/1e6))...)
	for file, content := range map[string][]byte{b.chart: lazyChart(results), b.brief: lazyTable(results)} {
		if file == "" {
			continue
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			b.say("%v", err)
		}
	}
}

// lazyTable is what fits into an introduction.
func lazyTable(results []lazyResult) []byte {
	out := &bytes.Buffer{}
	fmt.Fprint(out, "| until a container's first output | MB |")
	for _, l := range lazyLinks {
		fmt.Fprintf(out, " %s |", l.name)
	}
	fmt.Fprintln(out, "\n|---|---|---|---|---|---|")
	for _, r := range results {
		for _, way := range []struct {
			name    string
			figures map[string][]lazyFigure
		}{{"whole", r.full}, {"**lazily**", r.lazy}} {
			fmt.Fprintf(out, "| %s, %s | %.1f |", r.form.name, way.name, megabytes(way.figures[lazyLinks[0].name]))
			for _, l := range lazyLinks {
				fmt.Fprintf(out, " %.1f s |", seconds(way.figures[l.name]))
			}
			fmt.Fprintln(out)
		}
	}
	return out.Bytes()
}

// lazyChart draws the seconds of whole and lazy starts side by side.
func lazyChart(results []lazyResult) []byte {
	const width, bar, gap, left = 720, 16, 14, 250
	most := 0.0
	for _, r := range results {
		for _, l := range lazyLinks {
			most = max(most, seconds(r.full[l.name]), seconds(r.lazy[l.name]))
		}
	}
	scale := (width - left - 70) / math.Max(most, 0.1)
	height := 60 + len(results)*len(lazyLinks)*(2*bar+gap)
	out := &bytes.Buffer{}
	fmt.Fprintf(out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`+"\n", width, height)
	fmt.Fprintf(out, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	fmt.Fprintf(out, `<text x="10" y="22" font-size="14">Seconds until a container's first output: <tspan fill="#c0392b">whole pull</tspan>, <tspan fill="#1f77b4">lazy pull</tspan></text>`+"\n")
	y := 44
	for _, r := range results {
		for _, l := range lazyLinks {
			fmt.Fprintf(out, `<text x="%d" y="%d" text-anchor="end">%s, %s</text>`+"\n", left-8, y+bar+4, r.form.name, l.name)
			for i, f := range []struct {
				colour  string
				figures []lazyFigure
			}{{"#c0392b", r.full[l.name]}, {"#1f77b4", r.lazy[l.name]}} {
				s := seconds(f.figures)
				fmt.Fprintf(out, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/><text x="%.1f" y="%d">%.1f</text>`+"\n",
					left, y+i*bar, s*scale, bar-2, f.colour, left+s*scale+6, y+i*bar+bar-4, s)
			}
			y += 2*bar + gap
		}
	}
	fmt.Fprintln(out, "</svg>")
	return out.Bytes()
}
