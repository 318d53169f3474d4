package gateway

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// BusyError is part of errors of a gateway that asks to be left alone for a while
// (Retry-After, RFC 9110, 10.2.3). It matches [ipfs.ErrUnavailable].
type BusyError struct {
	Until time.Time
}

func (b *BusyError) Error() string {
	return fmt.Sprintf("retry after %s", max(0, time.Until(b.Until)).Round(time.Second))
}

// Is makes a BusyError match [ipfs.ErrUnavailable].
func (b *BusyError) Is(target error) bool { return target == ipfs.ErrUnavailable }

// maxBusy is the longest time for which a gateway is believed to be busy: a
// wrong answer must not shut it out for good.
const maxBusy = 5 * time.Minute

// CheckBusy gives a [BusyError] for an answer that asks for patience: 429 or 503 with
// Retry-After in seconds or as a date. For all others it gives nil.
func CheckBusy(resp *http.Response) *BusyError {
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
	if wait <= 0 {
		return nil
	}
	return &BusyError{Until: now.Add(min(wait, maxBusy))}
}
