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
)

// MediaType is the OCI media type of layers of this compression.
func (c Compression) MediaType() string {
	switch c {
	case Gzip:
		return ocispec.MediaTypeImageLayerGzip
	case Zstd:
		return ocispec.MediaTypeImageLayerZstd
	default:
		return ocispec.MediaTypeImageLayer
	}
}

// Options decide the bytes of a compressed layer, and so digests and CIDs.
type Options struct {
	Compression Compression // Gzip when empty
	Level       int         // 1 (fast) to 9 (small); 0 for the default
	Lazy        bool        // Gzip layers get an index, by which they can be read before they are there
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
	if o.Lazy && o.Compression != Gzip {
		return o, fmt.Errorf("compression %s has no index: want gzip, or zstd:chunked, which always has one", o.Compression)
	}
	switch o.Compression {
	case None:
	case Gzip:
		if o.Level == 0 {
			o.Level = DefaultGzipLevel
		}
	case Zstd:
		if o.Level == 0 {
			o.Level = DefaultZstdLevel
		}
	default:
		return o, fmt.Errorf("compression %q: want gzip, zstd or none", o.Compression)
	}
	return o, nil
}

// Format is the number of the form in which layers are compressed here. It has
// to be raised whenever the golden digests change, be it by a new version of
// the compressors: what was compressed before is then not taken for the same.
const Format = 2

// String tells everything besides the input that decides a layer's bytes.
func (o Options) String() string {
	if n, err := o.normal(); err == nil {
		o = n
	}
	text := fmt.Sprintf("%s-%d-format%d", o.Compression, o.Level, Format)
	if o.Lazy {
		text += "-lazy"
	}
	return text
}

// Validate tells whether the options can be used.
func (o Options) Validate() error {
	_, err := o.normal()
	return err
}
