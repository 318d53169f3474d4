package layer

import (
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Compression is how layers are compressed that arrive uncompressed.
type Compression string

// The compressions to choose from.
const (
	Gzip Compression = "gzip" // every engine reads it
	Zstd Compression = "zstd" // dockerd 23, containerd 1.5 and later
	None Compression = "none"
	// Chunked is zstd with a frame for each file and an index, by which podman
	// fetches only the files that it lacks, and stargz-snapshotter those that are
	// read.
	Chunked Compression = "zstd:chunked"
)

// MediaType is the OCI media type of layers of this compression.
func (c Compression) MediaType() string {
	switch c {
	case Gzip:
		return ocispec.MediaTypeImageLayerGzip
	case Zstd, Chunked:
		return ocispec.MediaTypeImageLayerZstd
	default:
		return ocispec.MediaTypeImageLayer
	}
}

// Options decide the bytes of a compressed layer, and so digests and CIDs.
type Options struct {
	Compression Compression // Gzip when empty
	Level       int         // 1 (fast) to 9 (small); 0 for the default
	Lazy        bool        // Gzip layers get an index, by which they can be read before they are there; Chunked ones always do
}

// Default levels.
const (
	DefaultGzipLevel = 4
	DefaultZstdLevel = 3
)

// normal fills in defaults and refuses what does not exist.
func (o Options) normal() (Options, error) {
	if o.Compression == "" {
		o.Compression = Gzip
	}
	if o.Level < 0 || o.Level > 9 {
		return o, fmt.Errorf("compression level %d: want 1 to 9", o.Level)
	}
	if o.Lazy && o.Compression != Gzip && o.Compression != Chunked {
		return o, fmt.Errorf("compression %s has no index: want gzip, or zstd:chunked, which always has one", o.Compression)
	}
	if o.Compression == Chunked {
		o.Lazy = true
	}
	switch o.Compression {
	case None:
	case Gzip:
		if o.Level == 0 {
			o.Level = DefaultGzipLevel
		}
	case Zstd, Chunked:
		if o.Level == 0 {
			o.Level = DefaultZstdLevel
		}
	default:
		return o, fmt.Errorf("compression %q: want gzip, zstd, zstd:chunked or none", o.Compression)
	}
	return o, nil
}

// Format is the number of the form in which layers are compressed here. It has
// to be raised whenever the golden digests change, be it by a new version of
// the compressors: what was compressed before is then not taken for the same.
const Format = 3

// String tells everything besides the input that decides a layer's bytes.
func (o Options) String() string {
	if n, err := o.normal(); err == nil {
		o = n
	}
	text := fmt.Sprintf("%s-%d-format%d", o.Compression, o.Level, Format)
	if o.Lazy && o.Compression == Gzip {
		text += "-lazy"
	}
	return text
}

// Indexed tells whether layers get an index.
func (o Options) Indexed() bool { return o.Lazy || o.Compression == Chunked }

// Validate tells whether the options can be used.
func (o Options) Validate() error {
	_, err := o.normal()
	return err
}
