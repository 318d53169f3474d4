package silent

import (
	"bytes"
	"log/slog"
	"testing"
)

// A program that gives no logger must not find lines in its own log.
func TestLogger(t *testing.T) {
	var out bytes.Buffer
	given := slog.New(slog.NewTextHandler(&out, nil))
	before := slog.Default()
	slog.SetDefault(given)
	defer slog.SetDefault(before)
	Logger(nil).Error("nobody asked for this")
	if out.Len() > 0 {
		t.Errorf("slog's default got %q", out.String())
	}
	if Logger(given) != given {
		t.Error("a logger that was given is not used")
	}
}
