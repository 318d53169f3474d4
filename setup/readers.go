// Programs of other versions read one hosts.toml in different ways.

package setup

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// readers are the programs that read the certs.d of an engine.
var readers = map[string][]string{
	"containerd": {"containerd", "nerdctl"},
	"nerdctl":    {"nerdctl", "containerd"},
	"microk8s":   {"/snap/microk8s/current/bin/containerd"},
	"k0s":        {"/var/lib/k0s/bin/containerd"},
}

var versionPattern = regexp.MustCompile(`\sv?([0-9]+)\.([0-9]+)\.[0-9]`)

// version asks containerd or nerdctl for its version; it is not known where the
// program is not there, or says something else.
func (o Options) version(name string) (major, minor int, known bool) {
	program := o.program(name)
	if program == nil {
		return 0, 0, false
	}
	out, err := ask(context.Background(), program, "--version")
	v := versionPattern.FindStringSubmatch(out)
	if err != nil || v == nil {
		return 0, 0, false
	}
	major, _ = strconv.Atoi(v[1])
	minor, _ = strconv.Atoi(v[2])
	return major, minor, true
}

// oldReader names a reader of the files that is of version 1; known is false where no
// reader says its version.
func (o Options) oldReader() (name string, known bool) {
	for _, reader := range readers[o.Engine] {
		major, minor, ok := o.version(reader)
		known = known || ok
		if ok && major < 2 {
			return fmt.Sprintf("%s %d.%d", filepath.Base(reader), major, minor), true
		}
	}
	return "", known
}

// hostless looks at a hosts.toml without a [host.…] table, which containerd 1 and
// nerdctl 1 overlook as a whole (getSortedHosts in remotes/docker/config): with a table
// in it, all else that it says would count, too, and ordinary names go elsewhere. That
// is refused where one of them reads the file, and told where nobody knows.
func (p *Plan) hostless(path string, text []byte) error {
	plain := cutBlocks(text)
	found, tree, err := parseTOML(plain)
	if err != nil || tree["host"] != nil || text == nil || !bytes.Equal(plain, text) {
		return nil // hostsTOML tells what is wrong; with setup's table in it, it counts already
	}
	server, _ := tree["server"].(string)
	says := len(tree) > 0 && (len(tree) > 1 || server != hubServer || filepath.Base(filepath.Dir(path)) != "docker.io")
	old, known := "", true
	if says || len(bytes.TrimSpace(plain)) > 0 {
		old, known = p.options.oldReader()
	}
	if old != "" || !known {
		if err := p.noBareCertificates(filepath.Dir(path)); err != nil { // read in its place
			return err
		}
	}
	if !says || old == "" && known {
		return nil
	}
	first := found[0]
	line := lineAt(plain, first.line)
	what := fmt.Sprintf("%s, line %d: %s is set there, and no [host.…]; containerd 1 and nerdctl 1 overlook such a file as a whole", path, line, strings.Join(first.path(), "."))
	if old == "" {
		p.note("%s: if one of them reads it, that counts from now on", what)
		return nil
	}
	return fmt.Errorf("%w: %s, and %s reads it: with the server in it that would count, and ordinary names would go elsewhere than now. Take it out; or, where it is wanted, write [host.\"URL\"] below it by hand, for whom containerd is to ask for this registry",
		ErrConfig, what, old)
}

// hubServer is whom containerd asks for docker.io anyway.
const hubServer = "https://registry-1.docker.io"
