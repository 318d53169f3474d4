package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/ipfs/p2p"
)

func newSwarmKey() *cobra.Command {
	return &cobra.Command{
		Use:   "swarm-key FILE",
		Short: "Make the key of a private network of peers",
		Long: `Make a new swarm key and write it into FILE, which only its owner may read; a file
that is there is never replaced. With - it is written to standard output.

Copy the file to each machine of the network, and give it to serve, pull and pin
with --swarm-key: only holders of the same key can connect then. Kubo takes the same
file as swarm.key in its repository. Whoever has the key may have every block.`,
		Example: `  image2ipfs swarm-key swarm.key
  image2ipfs serve --mdns --swarm-key swarm.key
  image2ipfs swarm-key - | ssh registry.local 'umask 077; cat >swarm.key'`,
		Args: usage(exactly(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "-" {
				_, err := cmd.OutOrStdout().Write(p2p.NewSwarmKey())
				return err
			}
			err := writeSwarmKey(args[0])
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%w: a key that is there is not replaced, since those who have it could not connect any more; choose another file", err)
			}
			return err
		},
	}
}

// writeSwarmKey makes a key file where none is.
func writeSwarmKey(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(p2p.NewSwarmKey())
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path)) // half a key is none
	}
	return nil
}
