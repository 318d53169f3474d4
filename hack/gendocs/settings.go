package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// writeSettingsPage writes the page of the settings of serve, which the built
// binary lists.
func writeSettingsPage(binary, file string) error {
	cmd := exec.Command(binary, "config", "ls", "--json")
	cmd.Env = []string{} // its defaults, whatever is set here
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w", cmd, err)
	}
	var all []struct{ Setting, Variable, Kind, Value, Meaning string }
	if err := json.Unmarshal(out, &all); err != nil {
		return fmt.Errorf("%s: %w", cmd, err)
	}
	var page bytes.Buffer
	page.WriteString("<!-- Made by \"make docs\" from \"image2ipfs config ls\". -->\n\n# Settings of serve\n\n" +
		"Each is a flag, a key of the file that `serve --config` names (TOML; text in quotes, lists in brackets), and a variable of the environment (lists with commas; an empty variable counts as none, `\"\"` and `[]` in one are an empty text and an empty list; what protects, such as `allow`, `require-signature` and `htpasswd`, is refused where its variable is there and empty). " +
		"Sizes in kB, MB, GB count in thousands, in KiB, MiB, GiB in 1024s. `off` switches `gc`, `gc-unused` and `scrub` off. " +
		"A flag that is given is stronger than the environment, and that than the file. `image2ipfs config check FILE` says what is wrong with a file, `image2ipfs config example` writes one.\n\n" +
		"| setting | variable | kind | default | |\n|---|---|---|---|---|\n")
	for _, s := range all {
		value := ""
		if s.Value != "" {
			value = "`" + s.Value + "`"
		}
		fmt.Fprintf(&page, "| `%s` | `%s` | %s | %s | %s |\n", s.Setting, s.Variable, s.Kind, value, strings.ReplaceAll(s.Meaning, "|", "\\|"))
	}
	return os.WriteFile(file, page.Bytes(), 0o644)
}
