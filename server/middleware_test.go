package server

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"
)

// connection counts what it is given between deadlines.
type connection struct {
	http.ResponseWriter
	deadlines int
	most, n   int64 // bytes for one deadline
}

func (c *connection) SetWriteDeadline(time.Time) error {
	c.deadlines++
	c.n = 0
	return nil
}

func (c *connection) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	c.most = max(c.most, c.n)
	return len(p), nil
}

func (c *connection) ReadFrom(r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{c}, r) }

// A client may take Limits.Stall for each 256 KiB, be they written or sent by the
// system: with a deadline for more at once, slow lines are cut in mid-layer.
func TestSlowClientsHaveTime(t *testing.T) {
	data := big(3 << 20)
	for name, send := range map[string]func(w *response) (int64, error){
		"written": func(w *response) (int64, error) { n, err := w.Write(data); return int64(n), err },
		"sent": func(w *response) (int64, error) {
			return w.ReadFrom(&io.LimitedReader{R: bytes.NewReader(data), N: int64(len(data))})
		},
	} {
		c := &connection{}
		n, err := send(&response{ResponseWriter: c, control: http.NewResponseController(c), stall: time.Minute})
		if err != nil || n != int64(len(data)) || c.most > 256<<10 || c.deadlines == 0 {
			t.Errorf("%s: %d bytes, %d for one deadline: %v", name, n, c.most, err)
		}
	}
}
