package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/image2ipfs/image2ipfs/internal/input"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/pinning"
	"github.com/image2ipfs/image2ipfs/oci"
)

// tokenEnv is the variable of the environment in place of --token-file.
const tokenEnv = "IMAGE2IPFS_SERVICE_TOKEN" //nolint:gosec // a name, no credential

func newService() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "service",
		Short: "Know services that keep images for you",
		Long: `Know services that keep images for you, by the IPFS Pinning Service API: providers
on the public network, and IPFS Cluster. What is published here goes there with
publish --pin NAME, or pin add --service NAME; pin ls and pin rm take --service, too.

Tokens lie in the store, in files that its owner alone may read, and are never shown.`,
		Example: `  image2ipfs service add pins https://pins.example.com/psa --token-file token
  image2ipfs service ls
  image2ipfs service rm pins`,
		Args: usage(noArguments),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{fmt.Errorf("which of service's commands? add, ls or rm\nSee '%s --help'", cmd.CommandPath())}
		},
	}
	cmd.AddCommand(newServiceAdd(), newServiceLs(), newServiceRm())
	return cmd
}

// services are those that the own store knows; it is made where make says so.
func services(make bool) (*pinning.Services, string, error) {
	open := existingStore
	if make {
		open = openStore
	}
	store, err := open()
	if err != nil {
		return nil, "", err
	}
	path := store.Path()
	return pinning.NewServices(path), path, store.Close()
}

func newServiceAdd() *cobra.Command {
	var file string
	var replace bool
	cmd := &cobra.Command{
		Use:   "add NAME URL",
		Short: "Make a service known, with the token that it gave you",
		Long: `Make a service known under a name of your own, by the URL to which /pins is added,
and the token that it gave you: from a file, else from standard input, or from
$` + tokenEnv + `.`,
		Example: `  image2ipfs service add pins https://pins.example.com/psa --token-file token
  pass show pins | image2ipfs service add pins https://pins.example.com/psa
  image2ipfs service add --replace cluster http://127.0.0.1:9097`,
		Args: usage(exactly(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			endpoint, plain, err := pinning.CheckEndpoint(args[1])
			if err != nil {
				return usageError{err}
			}
			token, err := readToken(cmd, file)
			if err != nil {
				return err
			}
			if plain {
				cmd.PrintErrf("warning: %s has no TLS: whoever is on the way can read the token\n", oci.Quoted(endpoint))
			}
			known, _, err := services(true)
			if err == nil {
				err = known.Add(pinning.Service{Name: args[0], Endpoint: endpoint, Token: token}, replace)
			}
			if errors.Is(err, pinning.ErrConfig) {
				return usageError{err}
			}
			return err
		},
	}
	cmd.Flags().StringVar(&file, "token-file", "", "file with the token; - is standard input (default: $"+tokenEnv+", else standard input)")
	cmd.Flags().BoolVar(&replace, "replace", false, "put it in the place of one that has the name already")
	_ = cmd.MarkFlagFilename("token-file")
	return cmd
}

const maxToken = 64 << 10 // bytes

// readToken reads the first line of a file, of the environment or of standard input.
func readToken(cmd *cobra.Command, file string) (token string, err error) {
	if file == "" {
		if token = strings.TrimSpace(os.Getenv(tokenEnv)); token != "" {
			return token, nil
		}
		file = "-"
	}
	in := cmd.InOrStdin()
	if file == "-" {
		if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			cmd.PrintErr("token: ")
			typed, err := term.ReadPassword(int(f.Fd()))
			cmd.PrintErrln()
			return strings.TrimSpace(string(typed)), err
		}
	} else {
		data, err := input.ReadFile(cmd.Context(), file, maxToken)
		if err != nil {
			return "", err
		}
		in = bytes.NewReader(data)
	}
	line, err := bufio.NewReader(io.LimitReader(in, maxToken)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", err
	}
	if len(line) == maxToken && err == io.EOF {
		return "", usageError{fmt.Errorf("the token on standard input has %d bytes or more: expected one line", maxToken)}
	}
	if token = strings.TrimSpace(line); token == "" {
		return "", usageError{errors.New("there is no token: give --token-file FILE, $" + tokenEnv + ", or one line on standard input")}
	}
	return token, nil
}

// knownService is the JSON form of a service.
type knownService struct {
	Name     string `json:"name"`
	Endpoint string `json:"endpoint"`
}

func newServiceLs() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the services that are known",
		Example: `  image2ipfs service ls
  image2ipfs service ls --json`,
		Args: usage(noArguments),
		RunE: func(cmd *cobra.Command, _ []string) error {
			known, _, err := services(false)
			if err != nil {
				return err
			}
			all, damaged := known.List()
			if asJSON {
				list := []knownService{}
				for _, s := range all {
					list = append(list, knownService{s.Name, s.Endpoint})
				}
				return errors.Join(json.NewEncoder(cmd.OutOrStdout()).Encode(list), damaged)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tURL")
			for _, s := range all {
				fmt.Fprintf(w, "%s\t%s\n", s.Name, oci.Quoted(s.Endpoint))
			}
			return errors.Join(w.Flush(), damaged)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func newServiceRm() *cobra.Command {
	return &cobra.Command{
		Use:               "rm NAME",
		Aliases:           []string{"remove"},
		Short:             "Forget a service and its token; what it keeps, it keeps",
		Example:           `  image2ipfs service rm pins`,
		Args:              usage(exactly(1)),
		ValidArgsFunction: completeServices,
		RunE: func(_ *cobra.Command, args []string) error {
			known, _, err := services(false)
			if err != nil {
				return err
			}
			if err = known.Remove(args[0]); errors.Is(err, pinning.ErrConfig) {
				return usageError{err}
			}
			return err
		},
	}
}

// completeServices completes the names of services.
func completeServices(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	path, err := packstore.DefaultPath()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, _ := pinning.NewServices(path).List() // those that are not damaged
	var names []string
	for _, s := range all {
		names = append(names, s.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
