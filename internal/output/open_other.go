//go:build !unix

package output

import (
	"context"
	"os"
)

// open opens what is there for writing.
func open(_ context.Context, path string, _ bool) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY, 0)
}
