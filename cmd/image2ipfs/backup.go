package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/image2ipfs/image2ipfs/internal/input"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/backup"
	"github.com/image2ipfs/image2ipfs/ipfs/kubo"
	"github.com/image2ipfs/image2ipfs/ipfs/names"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// backupOptions are the flags of backup.
type backupOptions struct {
	quiet, json bool
	keys        string
}

func newBackup() *cobra.Command {
	opts := &backupOptions{}
	cmd := &cobra.Command{
		Use:   "backup DIRECTORY|FILE|- [NAME...]",
		Short: "Copy the embedded store into a file, while it is in use",
		Long: `Copy what the embedded store keeps, or the images that are named, into one file
(CAR), from which restore brings it back, here or elsewhere: images with all that
belongs to them, local names, what was pushed, and the last records that were seen of
names that move. In a directory that is there it gets a name with the time; - is
standard output. A file that is not there has a name that ends in .car: anything else may
be a directory that is missing, such as a disk that is not mounted, and is refused.

Pushes, publications, pulls and gc go on meanwhile; what is copied is what was there
at the beginning, and stays until it is copied. Each block is checked. A file appears,
in place of one of that name, when it is whole and on disk.

Private keys of names that move are never in it: --keys writes them into a file of
their own, to be kept as safe as they are, in place of another such file alone. What lies in Kubo, the cache, and the
identity of this machine among peers are not in it either.`,
		Example: `  image2ipfs backup /mnt/backups
  image2ipfs backup - | ssh elsewhere image2ipfs restore -
  image2ipfs backup app.car app:1 app:2
  image2ipfs backup --keys /root/image2ipfs.keys /mnt/backups`,
		Args:              usage(cobra.MinimumNArgs(1)),
		ValidArgsFunction: completeAfterFile(),
		RunE:              func(cmd *cobra.Command, args []string) error { return opts.run(cmd, args[0], args[1:]) },
	}
	cmd.Flags().StringVar(&opts.keys, "keys", "", "write the private keys of names that move into this file")
	cmd.Flags().BoolVarP(&opts.quiet, "quiet", "q", false, "print the file's name only")
	cmd.Flags().BoolVar(&opts.json, "json", false, "print a JSON object")
	return cmd
}

// completeAfterFile completes names of images behind that of a file.
func completeAfterFile() cobra.CompletionFunc {
	published := completeNames(&storeOptions{})
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return published(cmd, args, begun)
	}
}

// backedUp is the JSON form of what was copied.
type backedUp struct {
	File    string `json:"file"` // "-" for standard output
	Images  int    `json:"images"`
	Records int    `json:"records"`
	Names   int    `json:"names"`
	Blocks  int    `json:"blocks"`
	Bytes   int64  `json:"bytes"`
	Keys    int    `json:"keys,omitempty"`
	LeftOut int    `json:"leftOut,omitempty"`
}

func (o *backupOptions) run(cmd *cobra.Command, to string, args []string) (err error) {
	if to == "-" && o.json {
		return usageError{errors.New("--json and - both want standard output: write into a file, or leave out --json")}
	}
	if f := terminal(cmd.OutOrStdout()); to == "-" && f != nil && term.IsTerminal(int(f.Fd())) {
		return usageError{errors.New("standard output is a terminal: write image2ipfs backup FILE, or have something read it")}
	}
	if err := o.checkFiles(to); err != nil {
		return err
	}
	own, err := existingStore()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, own.Close()) }()
	snap, err := own.Snapshot(cmd.Context())
	if err != nil {
		return err
	}
	defer snap.Release()
	c, leftOut, err := contentsOf(cmd, own, snap, args)
	if err != nil {
		return err
	}
	told := backedUp{File: to, Images: len(c.Roots), Records: len(c.Records), Names: len(c.Names), LeftOut: leftOut}
	if o.keys != "" { // before what takes long
		if told.Keys, err = o.saveKeys(cmd.Context(), own, to); err != nil {
			return err
		}
	}
	size := int64(-1)
	if len(args) == 0 { // what is not needed is part of it, so it is about that
		if size, err = own.DiskUsage(); err != nil {
			return err
		}
	}
	p := newProgress(cmd.ErrOrStderr(), "backup", size, o.quiet || o.json)
	defer p.done()
	opts := backup.Options{Progress: p.add}
	var stats backup.Stats
	if to == "-" {
		stats, err = toPipe(cmd, exact(cmd), snap, c, opts)
	} else {
		told.File, stats, err = backup.WriteFile(cmd.Context(), to, snap, c, opts)
	}
	if err != nil {
		return err
	}
	p.done()
	told.Blocks, told.Bytes = stats.Blocks, stats.Bytes
	return o.report(cmd, told)
}

func toPipe(cmd *cobra.Command, to io.Writer, snap *packstore.Snapshot, c backup.Contents, o backup.Options) (backup.Stats, error) {
	w := bufio.NewWriterSize(to, 1<<20)
	stats, err := backup.Write(cmd.Context(), w, snap, c, o)
	if err == nil {
		err = w.Flush()
	}
	return stats, err
}

// contentsOf is what is copied, and how many records are not, since it lies in Kubo what
// they name.
func contentsOf(cmd *cobra.Command, own *packstore.Store, snap *packstore.Snapshot, args []string) (c backup.Contents, leftOut int, err error) {
	if len(args) > 0 {
		c, err = someOf(cmd, own, snap, args)
		return c, 0, err
	}
	c.Roots = snap.Roots
	for _, r := range snap.Records {
		if r.Kind == kubo.RecordKind {
			leftOut++
			continue
		}
		c.Records = append(c.Records, r)
	}
	seen, err := names.NewStore(names.Dir(own.Path())).Seen()
	for name, record := range seen {
		c.Names = append(c.Names, backup.Name{Name: name, Record: record})
	}
	return c, leftOut, err
}

// someOf are the images that arguments name, with their local names.
func someOf(cmd *cobra.Command, own *packstore.Store, snap *packstore.Snapshot, args []string) (c backup.Contents, err error) {
	all := newStores(own, nil)
	for _, arg := range args {
		m, err := findOne(cmd.Context(), all, arg)
		if err != nil {
			return c, err
		}
		i := slices.IndexFunc(snap.Roots, func(r ipfs.Root) bool { return r.CID.Equals(m.Name.Root) })
		if i < 0 {
			return c, fmt.Errorf("%w: %s is not published on the %s", ipfs.ErrNotFound, oci.Quoted(arg), own)
		}
		if slices.ContainsFunc(c.Roots, func(r ipfs.Root) bool { return r.CID.Equals(m.Name.Root) }) {
			continue
		}
		c.Roots = append(c.Roots, snap.Roots[i])
		records, err := pushed.RecordsOf(cmd.Context(), ipfs.Verified(snap), snap.Records, m.Name.Root)
		if err != nil {
			return c, err
		}
		for _, r := range records {
			if !slices.ContainsFunc(c.Records, func(k ipfs.Record) bool { return k.Key == r.Key }) {
				c.Records = append(c.Records, r)
			}
		}
	}
	return c, nil
}

func (o *backupOptions) report(cmd *cobra.Command, told backedUp) error {
	if !o.quiet && !o.json {
		fmt.Fprintf(cmd.ErrOrStderr(), "copied %d images, %s\n", told.Images, oci.BytesText(told.Bytes))
		if told.LeftOut > 0 {
			fmt.Fprintf(cmd.ErrOrStderr(), "left out what was pushed into Kubo, %d records: Kubo's own tools copy that\n", told.LeftOut)
		}
	}
	switch {
	case told.File == "-":
		return nil
	case o.json:
		return json.NewEncoder(cmd.OutOrStdout()).Encode(told)
	}
	_, err := fmt.Fprintln(exact(cmd), told.File)
	return err
}

// restoreOptions are the flags of restore.
type restoreOptions struct {
	quiet, json, replace bool
	keys                 string
}

func newRestore() *cobra.Command {
	opts := &restoreOptions{}
	cmd := &cobra.Command{
		Use:   "restore FILE|-",
		Short: "Bring a backup into the embedded store",
		Long: `Bring what backup has copied into the embedded store, which is made if there is
none, and may be in use. Each block is checked, and all of them must be there; then all
is kept at one stroke. A file that is cut, damaged or something else is refused, and the
store stays as it was.

What the store has stays: where a local name means another image here than in the
backup, it goes on to do so and is told, unless --replace is given.`,
		Example: `  image2ipfs restore /mnt/backups/image2ipfs-20261129T020000Z.car
  ssh elsewhere image2ipfs backup - | image2ipfs restore -
  image2ipfs restore --keys /root/image2ipfs.keys backup.car`,
		Args: usage(exactly(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return opts.run(cmd, args[0]) },
	}
	cmd.Flags().StringVar(&opts.keys, "keys", "", "import the private keys of names that move from this file, which backup --keys wrote")
	cmd.Flags().BoolVar(&opts.replace, "replace", false, "have local names mean what they mean in the backup")
	cmd.Flags().BoolVarP(&opts.quiet, "quiet", "q", false, "print nothing but what goes wrong")
	cmd.Flags().BoolVar(&opts.json, "json", false, "print a JSON object")
	return cmd
}

// restored is the JSON form of what was brought.
type restored struct {
	Images   int        `json:"images"`
	Records  int        `json:"records"`
	Names    int        `json:"names"`
	Keys     int        `json:"keys,omitempty"`
	Blocks   int        `json:"blocks"`
	Bytes    int64      `json:"bytes"`
	Left     []string   `json:"left,omitempty"`
	LeftKeys []string   `json:"leftKeys,omitempty"`
	Stored   ipfs.Stats `json:"stored"`
}

func (o *restoreOptions) run(cmd *cobra.Command, from string) (err error) {
	var keys *names.SavedKeys
	if o.keys != "" { // before anything is kept
		if keys, err = names.ReadKeys(cmd.Context(), o.keys); err != nil {
			return err
		}
	}
	in, size, err := openBackup(cmd, from)
	if err != nil {
		return err
	}
	defer in.Close() // it was read only
	own, err := openStore()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, own.Close()) }()
	p := newProgress(cmd.ErrOrStderr(), "restore", size, o.quiet || o.json)
	defer p.done()
	done, err := backup.Read(cmd.Context(), in, own, backup.Options{Progress: p.add, Replace: o.replace})
	if err != nil {
		return fmt.Errorf("%s: %w", oci.Quoted(from), err)
	}
	p.done()
	told := restored{Images: len(done.Roots), Records: done.Records, Blocks: done.Blocks, Bytes: done.Bytes, Stored: done.Stored}
	for _, r := range done.Left {
		told.Left = append(told.Left, r.Space+":"+r.Name)
	}
	store := names.NewStore(names.Dir(own.Path()))
	for _, n := range done.Contents.Names {
		switch err := store.Take(n.Name, n.Record); {
		case err == nil:
			told.Names++
		case !errors.Is(err, names.ErrOlder): // which is as it should be
			return err
		}
	}
	if keys != nil {
		if told.Keys, told.LeftKeys, err = store.LoadKeys(keys); err != nil {
			return err
		}
	}
	return o.report(cmd, own, told)
}

// openBackup opens a file, or standard input; size is -1 where it is not known.
func openBackup(cmd *cobra.Command, from string) (in io.ReadCloser, size int64, err error) {
	if from == "-" {
		if f, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			return nil, 0, usageError{errors.New("standard input is a terminal: name a file, or send a backup")}
		}
		return io.NopCloser(interruptible(cmd.Context())), -1, nil
	}
	f, err := input.Open(cmd.Context(), from)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = usageError{fmt.Errorf("%s is a directory: name one of the files in it", oci.Quoted(from))}
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

func (o *restoreOptions) report(cmd *cobra.Command, own *packstore.Store, told restored) error {
	if o.json {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(told)
	}
	if len(told.Left) > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "left as they are here, since they mean something else already: %s\n", someText(told.Left))
	}
	if len(told.LeftKeys) > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "keys not imported, since others are called so here: %s; image2ipfs name rm takes a key away, and name export keeps it before\n", someText(told.LeftKeys))
	}
	if !o.quiet {
		fmt.Fprintf(cmd.ErrOrStderr(), "%d images in the %s%s\n", told.Images, own, newBytesText(told.Stored))
	}
	return nil
}
