package main

import "fmt"

// verdict compares a figure with its target.
type verdict struct {
	what         string
	got, atMost  float64
	atLeast      bool
	bound        bool // got is an upper bound: the other did not finish
	unit, detail string
}

func (v verdict) String() string {
	met, sign, about := v.got <= v.atMost, "≤", ""
	if v.atLeast {
		met, sign = v.got >= v.atMost, "≥"
	}
	word := "**missed**"
	if met {
		word = "met"
	}
	if v.bound {
		about = "< "
	}
	return fmt.Sprintf("| %s | %s %g %s | %s%.3g %s | %s | %s |", v.what, sign, v.atMost, v.unit, about, v.got, v.unit, word, v.detail)
}
