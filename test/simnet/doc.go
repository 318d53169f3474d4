// Package simnet is a network of simulated links between machines whose
// exchanges of blocks (ipfs/exchange) are the real ones: scheduler, protocol,
// HTTP handlers, CARs and checks are those of the program. Only links, stores
// and the clock are made up. It runs in a bubble of testing/synctest, so that
// minutes pass in moments and nothing depends on how busy the host is.
package simnet
