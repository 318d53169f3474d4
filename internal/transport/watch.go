package transport

import (
	"io"
	"time"
)

// Watch gives a reader of r, the body of an answer, that calls end when one Read takes
// longer than limit: it cancels the request, which no time-out for the whole of it could.
// While nobody reads, it is not the other side that stands still.
func Watch(r io.Reader, limit time.Duration, end func()) io.Reader {
	return &watched{r, limit, end}
}

type watched struct {
	r     io.Reader
	limit time.Duration
	end   func()
}

func (w *watched) Read(p []byte) (int, error) {
	timer := time.AfterFunc(w.limit, w.end)
	defer timer.Stop()
	return w.r.Read(p)
}
