package main

import "fmt"

// verdict compares a figure with its target.
type verdict struct {
	what         string
	got, atMost  float64 // atMost is 0 where there is no target
	atLeast      bool
	bound        bool // got is an upper bound: the other did not finish
	unit, detail string
}

func (v verdict) String() string {
	met, sign, about := v.got <= v.atMost, "≤", ""
	if v.bound {
		about = "< "
	}
	if v.atLeast {
		met, sign = v.got >= v.atMost, "≥"
	}
	if v.atMost == 0 {
		return fmt.Sprintf("| %s | | %s%.3g %s | | %s |", v.what, about, v.got, v.unit, v.detail)
	}
	word := "**missed**"
	if met {
		word = "met"
	}
	return fmt.Sprintf("| %s | %s %g %s | %s%.3g %s | %s | %s |", v.what, sign, v.atMost, v.unit, about, v.got, v.unit, word, v.detail)
}
