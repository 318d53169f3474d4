//go:build !linux

package main

import (
	"context"
	"io"
	"os"

	"github.com/image2ipfs/image2ipfs/internal/output"
)

func standardOutput(ctx context.Context) io.Writer { return output.Until(ctx, os.Stdout) }
