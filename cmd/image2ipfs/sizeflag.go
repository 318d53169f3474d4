package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/docker/go-units"
)

// byteSize is a flag such as 10GiB or 10GB: with an i in the unit a step is 1024, without
// one 1000.
type byteSize int64

// sizeUnits are those in which a size is shown, the largest first.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", units.TiB}, {"TB", units.TB}, {"GiB", units.GiB}, {"GB", units.GB}, {"MiB", units.MiB}, {"MB", units.MB}, {"KiB", units.KiB}, {"kB", units.KB},
}

// String is the size in the largest unit of which it is a whole number, so that no byte of
// it is lost.
func (b *byteSize) String() string {
	n := int64(*b)
	for _, u := range sizeUnits {
		if n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

func (b *byteSize) Type() string { return "size" }

func (b *byteSize) Set(text string) error {
	read := units.FromHumanSize
	if strings.ContainsAny(text, "iI") {
		read = units.RAMInBytes
	}
	n, err := read(text)
	if err != nil || n < 0 {
		return errors.New("want a size such as 10GiB, or 500MB, where MB is 1,000,000 bytes and MiB 1,048,576, 0 for none")
	}
	*b = byteSize(n)
	return nil
}

// isOff tells whether a schedule, an age or a pace is "off", or "", which is as good: what a
// file gives is so switched off by a flag, and by a variable, of which an empty one is none.
func isOff(text string) bool { return text == "" || text == "off" }
