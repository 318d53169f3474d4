package storetest

import (
	"io"
	"net/http"
	"time"
)

// Slow is an [http.RoundTripper] that answers any request with Data, a byte after the
// other, each after a pause: in simulated time, what a slow source is.
type Slow struct {
	Data  []byte
	Pause time.Duration
}

// RoundTrip implements [http.RoundTripper].
func (s Slow) RoundTrip(*http.Request) (*http.Response, error) {
	body, out := io.Pipe()
	go func() {
		for i := range s.Data {
			time.Sleep(s.Pause)
			if _, err := out.Write(s.Data[i : i+1]); err != nil {
				return
			}
		}
		out.Close()
	}()
	return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{}, Body: body, ContentLength: -1}, nil
}
