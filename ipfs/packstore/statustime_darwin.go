package packstore

import (
	"os"
	"syscall"
)

// statusChanged is when a file or what is known of it was last changed, which
// nobody can set back; 0 where that is not told.
func statusChanged(info os.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ctimespec.Nano()
	}
	return 0
}
