package layer

import "github.com/opencontainers/go-digest"

// goldenDigests are those of sample's compressed forms. Whoever has to change
// one raises Format.
var goldenDigests = map[Compression]digest.Digest{
	Gzip: "sha256:52a8f98a5db61af51f915d2e0f3c230df23abb719d268db45eb03cc66b86c24e",
	Zstd: "sha256:a950fb06ad7b2f4f6d689ef3db700484ebc9503247978c894fba8e4cd52b626f",
}

// goldenLazy is that of sample's form with an index.
const goldenLazy digest.Digest = "sha256:d96529866e1f1000de58c070226b2d5b85b61c463f7c56cb1be4ddeba4bd1af8"

// goldenChunked is that of sample's zstd:chunked form, with an entry for each
// directory.
const goldenChunked digest.Digest = "sha256:6c78a798eeb8973f472456c86846c761130bf9f68d103052fd568a3651c6383c"
