// Package silent says what a logger that was not given means: silence, everywhere
// in this module.
package silent

import "log/slog"

// Logger gives l, or one that drops everything when l is nil.
func Logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
