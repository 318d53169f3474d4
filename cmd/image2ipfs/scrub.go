package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/server"
)

// scrubPace is a flag such as 168h, 10MiB/s or off.
type scrubPace struct {
	every time.Duration
	rate  int64
}

func (p *scrubPace) String() string {
	switch {
	case p.every > 0:
		return p.every.String()
	case p.rate > 0:
		rate := byteSize(p.rate)
		return rate.String() + "/s"
	}
	return "off"
}

func (p *scrubPace) Type() string { return "pace" }

func (p *scrubPace) Set(text string) error {
	if isOff(text) {
		*p = scrubPace{}
		return nil
	}
	if size, ok := strings.CutSuffix(text, "/s"); ok {
		var rate byteSize
		if err := rate.Set(size); err != nil || rate == 0 {
			return errors.New("want a rate such as 10MiB/s")
		}
		*p = scrubPace{rate: int64(rate)}
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Minute {
		return errors.New("want a time of a minute at least in which the store is read once, such as 168h, a rate such as 10MiB/s, or off")
	}
	*p = scrubPace{every: d}
	return nil
}

// scrub reads a store in the background until stop is called; told is for a
// server's metrics. Without a pace it does nothing.
func (p *scrubPace) scrub(ctx context.Context, store *packstore.Store, log *slog.Logger) (told func() server.Scrubbed, stop func(), err error) {
	if *p == (scrubPace{}) {
		return nil, func() {}, nil
	}
	s, err := store.NewScrub(packstore.ScrubOptions{Every: p.every, Rate: p.rate, Damaged: func(d packstore.Damage) { logDamage(log, d) }})
	if err != nil {
		return nil, nil, err
	}
	log.Info("reading the store in the background", "scrub", p.String())
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx); ctx.Err() == nil {
			log.Error("the store is no longer read in the background", "error", err)
		}
	}()
	told = func() server.Scrubbed {
		st := s.Stats()
		return server.Scrubbed{Bytes: st.Bytes, Packs: st.Packs, Damaged: st.Damaged, Oldest: st.Oldest}
	}
	return told, func() { cancel(); <-done }, nil
}

// mostTold is how many blocks and images a line of the log names.
const mostTold = 10

// logDamage says what is damaged, what needs it and what to do.
func logDamage(log *slog.Logger, d packstore.Damage) {
	var blocks, images []string
	for _, c := range d.Blocks[:min(mostTold, len(d.Blocks))] {
		blocks = append(blocks, c.String())
	}
	for _, r := range d.Roots[:min(mostTold, len(d.Roots))] {
		images = append(images, strings.TrimSpace(ref.Ciq(r.CID)+" "+oci.Quoted(strings.Join(r.Names, ", "))))
	}
	if len(images) == 0 {
		log.Warn("a pack of the store is damaged where no image needs it: image2ipfs gc", "pack", d.Pack)
		return
	}
	log.Error("the store is damaged: publish the images again, or image2ipfs verify --gateway URL heals them",
		"pack", d.Pack, "blocks", fmt.Sprint(len(d.Blocks)), "damaged", strings.Join(blocks, " "), "images", strings.Join(images, "; "))
}
