// Command gendocs writes the command reference: a page for each command of the
// built binary, with what its --help says, one of what --json prints, from its
// schemas, one of time-outs and limits, from the source in the working directory,
// and one of the settings of serve. The pages hold no date and no version, so that
// they change only when the command does. With -man it writes manual pages of the
// same help instead.
//
//	go run ./hack/gendocs [-binary bin/image2ipfs] [-schemas docs/reference/schema] docs/reference
//	go run ./hack/gendocs [-binary bin/image2ipfs] -man share/man/man1
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	binary := flag.String("binary", "bin/image2ipfs", "the built command")
	schemas := flag.String("schemas", "docs/reference/schema", "JSON schemas of what --json prints")
	man := flag.String("man", "", "write manual pages into this directory, and nothing else")
	flag.Parse()
	if (*man == "") != (flag.NArg() == 1) {
		fmt.Fprintln(os.Stderr, "usage: gendocs [-binary FILE] [-schemas DIRECTORY] DIRECTORY, or gendocs [-binary FILE] -man DIRECTORY")
		os.Exit(2)
	}
	write := func() error { return run(*binary, *schemas, flag.Arg(0)) }
	if *man != "" {
		write = func() error { return writeMan(*binary, *man) }
	}
	if err := write(); err != nil {
		fmt.Fprintln(os.Stderr, "gendocs:", err)
		os.Exit(1)
	}
}

// page is the reference of one command.
type page struct {
	path []string // "image2ipfs", "publish"
	help string
}

func (p page) title() string { return strings.Join(p.path, " ") }
func (p page) file() string  { return strings.Join(p.path, "_") + ".md" }

func run(binary, schemas, dir string) error {
	pages, err := collect(binary, []string{"image2ipfs"})
	if err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		return err
	}
	for _, file := range old { // commands that are gone
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := writeJSONPage(schemas, filepath.Join(dir, "json.md")); err != nil {
		return err
	}
	if err := writeLimitsPage(".", filepath.Join(dir, "limits.md")); err != nil {
		return err
	}
	if err := writeSettingsPage(binary, filepath.Join(dir, "settings.md")); err != nil {
		return err
	}
	if err := writeMetricsPage(filepath.Join(dir, "metrics.md")); err != nil {
		return err
	}
	var index bytes.Buffer
	fmt.Fprintf(&index, "%s# Command reference\n\n", notice)
	for _, p := range pages {
		fmt.Fprintf(&index, "- [%s](%s)\n", p.title(), p.file())
		text := fmt.Sprintf("%s# %s\n\n```text\n%s\n```\n", notice, p.title(), p.help)
		if err := os.WriteFile(filepath.Join(dir, p.file()), []byte(text), 0o644); err != nil {
			return err
		}
	}
	index.WriteString("\nWhat `--json` prints, field by field: [JSON](json.md), made of the [schemas](schema). [Time-outs and limits](limits.md), made of the source. [Settings of serve](settings.md), for a file or the environment. [Metrics](metrics.md), made of what the packages declare.\n")
	return os.WriteFile(filepath.Join(dir, "README.md"), index.Bytes(), 0o644)
}

const notice = "<!-- Made by \"make docs\" from the command's own help. -->\n\n"

// subcommand matches a line below "Available Commands:".
var subcommand = regexp.MustCompile(`(?m)^  ([a-z0-9-]+) +\S`)

// collect gives the page of a command and those of its subcommands. The shells
// of completion are left out: their pages are cobra's.
func collect(binary string, path []string) ([]page, error) {
	help, err := exec.Command(binary, append(path[1:len(path):len(path)], "--help")...).Output()
	if err != nil {
		return nil, fmt.Errorf("%s --help: %w (make build makes %s)", strings.Join(path, " "), err, binary)
	}
	p := page{path: path, help: strings.TrimSpace(string(help))}
	pages := []page{p}
	_, commands, _ := strings.Cut(p.help, "\nAvailable Commands:\n")
	commands, _, _ = strings.Cut(commands, "\n\n")
	for _, match := range subcommand.FindAllStringSubmatch(commands, -1) {
		if match[1] == "help" || path[len(path)-1] == "completion" {
			continue
		}
		more, err := collect(binary, append(slices.Clip(path), match[1]))
		if err != nil {
			return nil, err
		}
		pages = append(pages, more...)
	}
	return pages, nil
}
