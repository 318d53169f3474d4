// Command swarm simulates crowds of machines that pull the same image from one
// origin, with the real scheduler on each (test/simnet), and prints a line for each
// size of the crowd:
//
//	go run ./test/swarm [flags]
//
// Time is simulated: a second of it takes as long as it takes, and what comes out
// does not depend on the host, but for the order of what happens at the same moment.
package main

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// crowd is what is simulated.
type crowd struct {
	machines int
	layers   int
	image    int           // bytes
	uplink   float64       // of the origin, bytes a second
	link     float64       // of the others, both ways
	peers    int           // that each connects to
	slow     float64       // share of machines with a tenth of that
	churn    float64       // share of machines that die at some time, each of which another follows
	within   time.Duration // in which all begin
	seed     uint64
}

const mbit = 125_000 // bytes a second

// main runs as a test does, since a bubble needs one; that ends with a line that says so.
func main() {
	sizes := flag.String("machines", "8,32,100,1000", "sizes of the crowd")
	image := flag.Float64("image", 33.6, "MB of the image")
	layers := flag.Int("layers", 1, "layers it has, of equal size")
	uplink := flag.Float64("uplink", 100, "Mbit/s of the origin")
	link := flag.Float64("link", 1000, "Mbit/s of each other machine, both ways")
	peers := flag.Int("peers", 64, "machines to which each machine connects; others connect to it as well")
	slow := flag.Float64("slow", 0, "share of machines whose link is ten times slower")
	churn := flag.Float64("churn", 0, "share of machines that die while they pull; as many come later")
	within := flag.Duration("within", 0, "time in which all begin, at random")
	seed := flag.Uint64("seed", 1, "of what is chosen at random")
	testing.Main(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "swarm", F: func(t *testing.T) {
		fmt.Println("| machines | half have it s | 95 % | all | left the origin, images | least it takes s | simulated in s |\n|---|---|---|---|---|---|---|")
		for text := range strings.SplitSeq(*sizes, ",") {
			c := crowd{layers: *layers, image: int(*image * 1e6), uplink: *uplink * mbit, link: *link * mbit, peers: *peers, slow: *slow, churn: *churn, within: *within, seed: *seed}
			if _, err := fmt.Sscan(text, &c.machines); err != nil || c.machines < 1 || c.layers < 1 || c.image < c.layers {
				t.Fatalf("-machines %q, -layers %d, -image %g: want numbers above 0", *sizes, *layers, *image)
			}
			began := time.Now()
			var r result
			synctest.Test(t, func(t *testing.T) { r = c.run(t) })
			fmt.Printf("| %d | %.1f | %.1f | %.1f | %.2f | %.1f | %.0f |\n", c.machines, r.at(0.5), r.at(0.95), r.at(1), r.copies, float64(c.image)/c.uplink, time.Since(began).Seconds())
		}
	}}}, nil, nil)
}
