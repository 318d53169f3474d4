package main

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// age is a flag such as 30d, 2w or 12h.
type age time.Duration

func (a *age) String() string {
	d := time.Duration(*a)
	if day := 24 * time.Hour; d > 0 && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	if d == 0 {
		return ""
	}
	return d.String()
}

func (a *age) Type() string { return "age" }

// maxAge keeps ages within what a time can be reckoned with.
const maxAge = 100 * 365 * 24 * time.Hour

func (a *age) Set(text string) error {
	wrong := errors.New("want a time such as 30d, 2w or 12h")
	for unit, length := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if number, ok := strings.CutSuffix(text, unit); ok {
			n, err := strconv.ParseFloat(number, 64)
			if err != nil || n <= 0 || n > float64(maxAge/length) {
				return wrong
			}
			*a = age(n * float64(length))
			return nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > maxAge {
		return wrong
	}
	*a = age(d)
	return nil
}
