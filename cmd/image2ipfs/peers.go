package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs/network"
	"github.com/image2ipfs/image2ipfs/oci"
)

func newPeers() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "peers",
		Short: "List the peers that the running server is connected to",
		Long: `List the peers that the server on this store is connected to, and how blocks are
had from each: image2ipfs (HTTP, fast) or bitswap (Kubo and all other IPFS nodes).
What was got and given is counted by HTTP alone. For whom the server fetches what
they have is told on standard error.`,
		Example: `  image2ipfs peers
  image2ipfs peers --json | jq -r '.[] | select(.protocols | index("image2ipfs")) | .id'`,
		Args: usage(noArguments),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			store, err := existingStore()
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			peers, err := network.Peers(cmd.Context(), store.Path())
			if err != nil {
				return fmt.Errorf("%w; start one with image2ipfs serve --peers or --mdns", err)
			}
			who, err := network.FetchesFor(cmd.Context(), store.Path())
			if err != nil {
				return err
			}
			cmd.PrintErrln(fetchesText(who))
			return printPeers(cmd, peers, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// fetchesText says for whom a server fetches what its peers have; one of an older
// version does not tell.
func fetchesText(who string) string {
	if who == "" {
		return "the running server is of an older version, which does not tell for whom it fetches what peers have: restart it"
	}
	return "what these peers have is fetched for " + who
}

func printPeers(cmd *cobra.Command, peers []network.Peer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(peers)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "PEER\tADDRESS\tBLOCKS BY\tGOT\tGIVEN\tLATENCY\tPROGRAM")
	for _, p := range peers {
		latency := "-"
		if p.Latency > 0 {
			latency = p.Latency.Round(100 * time.Microsecond).String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", oci.Quoted(p.ID), oci.Quoted(p.Addr), orDash(oci.Quoted(strings.Join(p.Protocols, ", "))),
			oci.BytesText(p.BytesIn), oci.BytesText(p.BytesOut), latency, orDash(oci.Quoted(p.Agent)))
	}
	return w.Flush()
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
