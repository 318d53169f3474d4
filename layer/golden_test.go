package layer

import "github.com/opencontainers/go-digest"

// goldenDigests are those of sample's compressed forms. Whoever has to change
// one raises Format.
var goldenDigests = map[Compression]digest.Digest{
	Gzip: "sha256:ee4962f1cc862dce64629cf8fe845ed1b41f0ceda7ef786ea063ff030f621a70",
	Zstd: "sha256:8175d146b8c6cb231d86573174edbcc87716dd5f0c944960f9f599625a789280",
}

// goldenLazy is that of sample's form with an index.
const goldenLazy digest.Digest = "sha256:e46aafd9c7471e6b35f39291fbc0422b7f790b4a3e891482954379fb31eec8b4"

// goldenChunked is that of sample's zstd:chunked form, with an entry for each
// directory.
const goldenChunked digest.Digest = "sha256:4cd0a66613c77ef3bda06433d01e6475e3f6b79b85a4bd08109d22de633a0333"
