package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// maxBusy is the longest time for which a gateway is believed to be busy: a
// wrong answer must not shut it out for good.
const maxBusy = 5 * time.Minute

// usualBusy is for how long a gateway is left alone that has too many requests and
// does not say.
const usualBusy = 5 * time.Second

// checkBusy gives an [ipfs.BusyError] for an answer that asks for patience: 429, or
// 503 with Retry-After, in seconds or as a date (RFC 9110, 10.2.3; RFC 6585, 4). For
// all others it gives nil.
func checkBusy(resp *http.Response) *ipfs.BusyError {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return nil
	}
	value, now := resp.Header.Get("Retry-After"), time.Now()
	var wait time.Duration
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if date, err := http.ParseTime(value); err == nil {
		wait = date.Sub(now)
	}
	if wait <= 0 && resp.StatusCode == http.StatusTooManyRequests {
		wait = usualBusy
	}
	if wait <= 0 {
		return nil
	}
	return &ipfs.BusyError{Until: now.Add(min(wait, maxBusy))}
}
