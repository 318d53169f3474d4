package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/image2ipfs/image2ipfs/server/settings"
)

// protective are the settings of serve that say who may see or do what. None of them is
// left out by being empty, which a variable of a script is that nobody has set.
var protective = []string{
	"allow", "auth-read", "config", "htpasswd", "pinned", "push-tls-cert", "push-tls-key", "require-signature", "swarm-key", "tls-cert", "tls-key",
}

// emptyMeans are the flags that may be empty, by command ("" is the command itself), and
// what that means.
var emptyMeans = func() map[string]map[string]string {
	serve := map[string]string{}
	for _, name := range []string{
		"api", "api-auth", "bootstrap", "dns", "dnslink", "events", "gateway", "gc", "gc-unused", "host", "metrics", "name", "peers", "proxy-from", "push",
		"registry", "routing", "scrub", "source", "swarm-listen",
	} {
		serve[name] = "switches off what a file or a variable gives"
	}
	publishes := map[string]string{"registry": "names without a host, as for a mirror"}
	return map[string]map[string]string{"image2ipfs": publishes, "image2ipfs client": publishes, "image2ipfs publish": publishes, "image2ipfs serve": serve,
		"image2ipfs setup": {"root": "the system that it runs on"}}
}()

// refuseEmpty refuses flags of the command line that are empty, as they are with a variable
// that is not set: without it they would count as not given, also those that protect.
func refuseEmpty(cmd *cobra.Command, _ []string) (err error) {
	may := emptyMeans[cmd.CommandPath()]
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if _, ok := may[f.Name]; err == nil && !ok && isEmpty(f.Value) {
			err = usageError{fmt.Errorf("--%s is empty, as with a variable that is not set: give it a value, or leave it out\nSee '%s --help'", f.Name, cmd.CommandPath())}
		}
	})
	return err
}

// isEmpty tells whether a flag has no text, or is a list without any or with an empty one.
func isEmpty(v pflag.Value) bool {
	if list, ok := v.(pflag.SliceValue); ok {
		all := list.GetSlice()
		return len(all) == 0 || slices.Contains(all, "")
	}
	return v.String() == ""
}

// refuseEmptyVariables refuses variables of settings of serve that protect, and that are
// there and empty; of others an empty one counts as none. A flag that is given is stronger.
func refuseEmptyVariables(flags *pflag.FlagSet, file string) error {
	for _, name := range protective {
		key := settings.Variable("serve", name)
		text, there := os.LookupEnv(key)
		if !there || text != "" || flags.Changed(name) || name == "config" && file != "" {
			continue
		}
		none := `"" or []`
		switch f := flags.Lookup(name); {
		case f.Value.Type() == "bool":
			none = "false"
		case name == "config":
			return usageError{fmt.Errorf("$%s is there and empty: expected a file; unset it for none", key)}
		}
		return usageError{fmt.Errorf("$%s is there and empty, and what protects is not left out by that: give it a value, unset it, or write %s in it for none", key, none)}
	}
	return nil
}
