package layer

import "github.com/opencontainers/go-digest"

// goldenDigests are those of sample's compressed forms. Whoever has to change
// one raises Format.
var goldenDigests = map[Compression]digest.Digest{
	Gzip: "sha256:dc263e6e1b70e36882d2d53034f594ea0be3862e2ed3dd4c560af3a2c14d9a82",
	Zstd: "sha256:a950fb06ad7b2f4f6d689ef3db700484ebc9503247978c894fba8e4cd52b626f",
}
