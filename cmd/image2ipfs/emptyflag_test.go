package main

import (
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/image2ipfs/image2ipfs/server/settings"
)

// everyCommand calls f with each command of a new root.
func everyCommand(f func(*cobra.Command)) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		f(cmd)
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(io.Discard, io.Discard))
}

// A flag that is empty, as one with a variable that nobody has set, is never taken for one
// that is not given: whoever wants images to be signed would get all of them.
func TestEmptyFlags(t *testing.T) {
	met := map[string]int{}
	checked := 0
	var paths []string
	everyCommand(func(cmd *cobra.Command) { paths = append(paths, cmd.CommandPath()) })
	for _, path := range paths {
		var flags []string
		find(t, path).Flags().VisitAll(func(f *pflag.Flag) { flags = append(flags, f.Name) })
		for _, name := range flags {
			cmd := find(t, path)
			err := cmd.ParseFlags([]string{"--" + name + "="})
			if err == nil {
				err = cmd.Root().PersistentPreRunE(cmd, nil)
				if _, usage := errors.AsType[usageError](err); err != nil && (!usage || !strings.HasPrefix(err.Error(), "--"+name+" is empty")) {
					t.Errorf("%s --%s= : %v", path, name, err)
				}
			}
			if _, may := emptyMeans[path][name]; may != (err == nil) {
				t.Errorf("%s --%s= may be empty: %t; found: %v", path, name, may, err)
			} else if may {
				met[path]++
			}
			checked++
		}
	}
	if checked < 150 {
		t.Errorf("%d flags were found", checked)
	}
	for path, may := range emptyMeans {
		if met[path] != len(may) {
			t.Errorf("%s has %d of the %d flags that may be empty", path, met[path], len(may))
		}
	}
}

// find gives a command of a new root.
func find(t *testing.T, path string) (found *cobra.Command) {
	t.Helper()
	everyCommand(func(cmd *cobra.Command) {
		if cmd.CommandPath() == path {
			found = cmd
			found.InitDefaultHelpFlag()
			found.InitDefaultVersionFlag()
		}
	})
	return found
}

// No command has a check of its own in place of that of all.
func TestEmptyFlagsOfAllCommands(t *testing.T) {
	everyCommand(func(cmd *cobra.Command) {
		if cmd.HasParent() && (cmd.PersistentPreRun != nil || cmd.PersistentPreRunE != nil) {
			t.Errorf("%s goes without refuseEmpty", cmd.CommandPath())
		}
	})
	for _, line := range []string{"verify --key= app:1", "pull --require-signature= --to oci:out app:1", "serve --allow=", "backup --keys= out.car", "rm --match="} {
		cmd := newRoot(io.Discard, io.Discard)
		cmd.SetArgs(strings.Fields(line))
		if err := cmd.ExecuteContext(t.Context()); exitCode(err) != exitUsage {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// What protects is in the list of it, and is refused empty, in the environment, too.
func TestEmptyVariables(t *testing.T) {
	for _, name := range protective {
		if newServe().Flags().Lookup(name) == nil {
			t.Errorf("serve has no --%s", name)
		}
		if _, may := emptyMeans["image2ipfs serve"][name]; may {
			t.Errorf("--%s may be empty", name)
		}
	}
	newServe().Flags().VisitAll(func(f *pflag.Flag) {
		t.Run(f.Name, func(t *testing.T) {
			t.Setenv(settings.Variable("serve", f.Name), "")
			cmd := newServe()
			cmd.SetContext(t.Context())
			_, err := applySettings(t.Context(), cmd, "")
			if want := slices.Contains(protective, f.Name); want != (exitCode(err) == exitUsage) || want == (err == nil) {
				t.Errorf("an empty variable: %v", err)
			}
			if f.Name == "config" || f.Name == "help" {
				return
			}
			cmd = newServe()
			cmd.SetContext(t.Context())
			sample := sampleOf(t, f)
			if err := cmd.ParseFlags([]string{"--" + f.Name + "=" + sample.line}); err != nil {
				t.Fatal(err)
			}
			if _, err := applySettings(t.Context(), cmd, ""); err != nil {
				t.Errorf("the flag is stronger: %v", err)
			}
		})
	})
	t.Setenv(settings.Variable("serve", "allow"), "[]") // is said in so many words
	t.Setenv(settings.Variable("serve", "swarm-key"), `""`)
	t.Setenv(settings.Variable("serve", "config"), "")
	cmd := newServe()
	cmd.SetContext(t.Context())
	if _, err := applySettings(t.Context(), cmd, filepath.Join("testdata", "none.toml")); err == nil || strings.Contains(err.Error(), "empty") {
		t.Errorf("a file that is named: %v", err)
	}
}
