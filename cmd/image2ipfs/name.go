package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/image2ipfs/image2ipfs/internal/input"
	"github.com/image2ipfs/image2ipfs/ipfs/names"
	"github.com/image2ipfs/image2ipfs/ref"
)

func newName() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "name",
		Short: "Names that move: IPNS",
		Long: `Names that stay while the image behind them changes. Each is a public key (IPNS,
k51…) whose owner signs what it means:

  image2ipfs name create app          make a key; the name is printed
  image2ipfs name publish app app:1   have the name mean an image
  docker pull k51…/app:1              what it means now

The keys lie in the store. Who has one can move its name, from any machine; nobody
else can. A running serve publishes names again before they expire.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newNameCreate(), newNameLs(), newNameRm(), newNameExport(), newNameImport(), newNamePublish(), newNameResolve())
	return cmd
}

// onNames runs fn with the names of the embedded store, which is made if there is none.
func onNames(fn func(*names.Store) error) (err error) {
	own, err := openStore()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, own.Close()) }()
	err = fn(names.NewStore(names.Dir(own.Path())))
	if errors.Is(err, names.ErrKey) {
		err = usageError{err}
	}
	return err
}

func newNameCreate() *cobra.Command {
	return &cobra.Command{
		Use:     "create KEY",
		Short:   "Make a key, and so a name",
		Long:    "Make a key (Ed25519) and print the name that it is. KEY is what it is called here.",
		Example: "  image2ipfs name create app",
		Args:    usage(exactly(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return onNames(func(s *names.Store) error {
				k, err := s.Create(args[0])
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), k.Name)
				return err
			})
		},
	}
}

// ownedName is the JSON form of a name whose key is here.
type ownedName struct {
	Key      string         `json:"key"`
	Name     string         `json:"name"`
	Root     *ref.Spellings `json:"root,omitempty"`
	Sequence int64          `json:"sequence,omitempty"`
	Until    *time.Time     `json:"validUntil,omitempty"`
	Stopped  string         `json:"stopped,omitempty"`
}

func newNameLs() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "ls",
		Short:   "List the names whose keys are here",
		Example: "  image2ipfs name ls",
		Args:    usage(noArguments),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return onNames(func(s *names.Store) error {
				owned, err := s.Owned()
				if err != nil {
					return err
				}
				if err := sayDamaged(cmd, s); err != nil {
					return err
				}
				if asJSON {
					return json.NewEncoder(cmd.OutOrStdout()).Encode(ownedAsJSON(owned))
				}
				return printOwned(&result{to: cmd.OutOrStdout()}, owned)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// sayDamaged tells of keys that are passed over.
func sayDamaged(cmd *cobra.Command, s *names.Store) error {
	damaged, err := s.Damaged()
	for _, d := range damaged {
		_, failed := fmt.Fprintf(cmd.ErrOrStderr(), "passed over a key: %v\n", d)
		err = errors.Join(err, failed)
	}
	return err
}

func ownedAsJSON(owned []names.Owned) []ownedName {
	all := []ownedName{}
	for _, o := range owned {
		one := ownedName{Key: o.Alias, Name: o.Name, Sequence: int64(min(o.Sequence, 1<<63-1)), Stopped: o.Stopped}
		if o.Root.Defined() {
			s := ref.Spell(o.Root)
			one.Root = &s
		}
		if !o.Until.IsZero() {
			until := o.Until.UTC()
			one.Until = &until
		}
		all = append(all, one)
	}
	return all
}

func printOwned(out io.Writer, owned []names.Owned) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, o := range owned {
		means, until := "-", "-"
		if o.Root.Defined() {
			means = ref.Ciq(o.Root)
		} else if o.Value != "" {
			means = o.Value
		}
		if !o.Until.IsZero() {
			until = "valid until " + o.Until.Local().Format(time.DateTime)
		}
		if o.Stopped != "" {
			until += "; not published again: " + o.Stopped
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", o.Alias, o.Name, means, until)
	}
	return w.Flush()
}

func newNameRm() *cobra.Command {
	return &cobra.Command{
		Use:   "rm KEY...",
		Short: "Take keys away for good",
		Long: `Take keys away: without a copy (name export) nobody moves their names again. What
was published by them is known to others until it expires.`,
		Example: "  image2ipfs name rm app",
		Args:    usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return onNames(func(s *names.Store) error {
				for _, alias := range args {
					k, err := s.RemoveKey(alias)
					if err != nil {
						return err
					}
					if _, err := fmt.Fprintln(cmd.OutOrStdout(), k.Name); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

func newNameExport() *cobra.Command {
	var out, format, record string
	cmd := &cobra.Command{
		Use:   "export KEY",
		Short: "Write a key to a file, for another machine or Kubo",
		Long: `Write a private key to a file that image2ipfs name import and ipfs key import read.
Whoever has it can move the name. With --record the last record is written, too:
where it is imported beside the key, the name goes on behind it, whomever it can ask.`,
		Example: `  image2ipfs name export app -o app.key --record app.ipns-record
  image2ipfs name export app -o app.key && ipfs key import app app.key`,
		Args: usage(exactly(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return onNames(func(s *names.Store) error { return exportKey(s, args[0], format, out, record) })
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "file to write, readable by you alone (default: KEY.key)")
	cmd.Flags().StringVarP(&format, "format", "f", names.FormatProtobuf, "format as Kubo calls it: "+names.FormatProtobuf+" or "+names.FormatPEM)
	cmd.Flags().StringVar(&record, "record", "", "file to write the last record to")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{names.FormatProtobuf, names.FormatPEM}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func exportKey(s *names.Store, alias, format, out, record string) error {
	if out == "-" || record == "-" {
		return usageError{errors.New("-: a key and its record are written into files, not to standard output: name them")}
	}
	k, err := s.Key(alias)
	if err != nil {
		return err
	}
	data, err := k.Export(format)
	if err != nil {
		return err
	}
	if out == "" {
		out = k.Alias + ".key"
	}
	if record != "" {
		last, err := s.ExportRecord(k)
		if err == nil {
			err = writeNew(record, last)
		}
		if err != nil {
			return err
		}
	}
	return writeNew(out, data)
}

// writeNew writes a file that must not be there yet, readable by its owner alone.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

func newNameImport() *cobra.Command {
	var record string
	cmd := &cobra.Command{
		Use:   "import KEY FILE",
		Short: "Take a key from a file that was exported here or by Kubo",
		Long: `Take a private key from a file that image2ipfs name export or ipfs key export has
written, in either format, and print its name. End the publishing on the other machine:
of two that publish one name, the one that sees the other's record stops.`,
		Example: `  image2ipfs name import app app.key --record app.ipns-record
  ipfs key export app && image2ipfs name import app app.key`,
		Args: usage(exactly(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := input.ReadFile(cmd.Context(), args[1], maxKey)
			if err != nil {
				return err
			}
			var last []byte
			if record != "" {
				if last, err = input.ReadFile(cmd.Context(), record, maxKey); err != nil {
					return err
				}
			}
			return onNames(func(s *names.Store) error {
				k, err := s.Import(args[0], data, last)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), k.Name)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&record, "record", "", "file with the name's last record, as name export --record writes it")
	return cmd
}
