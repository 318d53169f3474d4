// Package silent says what a logger that was not given means: silence, everywhere
// in this module.
package silent

import (
	"log"
	"log/slog"
)

// Logger gives l, or one that drops everything when l is nil.
func Logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

// Errors gives the ErrorLog of an [net/http.Server], which without one writes to the
// program's standard error: what clients do wrong is of use for debugging alone.
func Errors(l *slog.Logger) *log.Logger {
	return slog.NewLogLogger(Logger(l).Handler(), slog.LevelDebug)
}
