// Package image2ipfs_test holds the directions in which the packages of this
// module may depend on each other; docs/ says why.
package image2ipfs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/image2ipfs/image2ipfs/"

// allowed are the packages of this module that a package may import, directly
// or by way of others; those in internal/ serve everybody.
var allowed = map[string][]string{
	"ref":             {},
	"layer":           {},
	"oci":             {"ref"},
	"archive":         {},
	"dockerarchive":   {"archive"},
	"engine":          {},
	"ipfs":            {"layer", "oci", "ref"},
	"ipfs/car":        {"ipfs", "layer", "oci", "ref"},
	"ipfs/backup":     {"ipfs", "ipfs/car", "layer", "oci", "ref"},
	"ipfs/exchange":   {"ipfs", "ipfs/car", "layer", "oci", "ref"},
	"ipfs/gateway":    {"ipfs", "ipfs/car", "layer", "oci", "ref"},
	"ipfs/kubo":       {"ipfs", "ipfs/car", "layer", "oci", "ref"},
	"ipfs/names":      {"ipfs", "layer", "oci", "ref"},
	"ipfs/holders":    {"ipfs", "layer", "oci", "ref"},
	"ipfs/network":    {"ipfs", "ipfs/car", "ipfs/exchange", "ipfs/holders", "ipfs/p2p", "ipfs/packstore", "layer", "oci", "ref"},
	"ipfs/pinning":    {"ipfs", "layer", "oci", "ref"},
	"ipfs/packstore":  {"ipfs", "ipfs/car", "layer", "oci", "ref"},
	"ipfs/p2p":        {"ipfs", "layer", "oci", "ref"},
	"ipfs/sources":    {"ipfs", "layer", "oci", "ref"},
	"registry/local":  {"ipfs", "layer", "oci", "ref", "registry", "registry/layout", "registry/pushed"},
	"trust":           {"ipfs", "layer", "oci", "ref", "registry"},
	"registry":        {"oci", "ref"},
	"registry/pushed": {"ipfs", "layer", "oci", "ref", "registry"},
	"registry/remote": {"ipfs", "layer", "oci", "ref", "registry"},
	"registry/layout": {"ipfs", "layer", "oci", "ref", "registry"},
	"registry/legacy": {"ipfs", "layer", "oci", "ref", "registry", "registry/layout"},
	"server":          {"ipfs", "ipfs/car", "ipfs/holders", "ipfs/sources", "layer", "registry/legacy", "oci", "ref", "registry", "registry/layout", "registry/pushed", "server/page", "trust"},
	"server/page":     {"ipfs", "ipfs/holders", "layer", "oci", "ref", "registry", "registry/layout"},
	"resolver":        {"ipfs", "ipfs/sources", "layer", "oci", "ref", "registry", "registry/layout", "trust"},
	"server/settings": {},
	"setup":           {},
	"setup/doctor":    {"ipfs", "ipfs/car", "ipfs/gateway", "layer", "oci", "ref", "setup"},
	"pull":            {"engine", "ipfs", "ipfs/sources", "layer", "oci", "ref", "registry", "registry/layout", "registry/remote", "trust"},
	"source":          {"archive", "dockerarchive", "engine", "ipfs", "layer", "oci", "publish", "ref", "registry", "registry/layout", "registry/remote"},
	"publish":         {"archive", "dockerarchive", "ipfs", "layer", "oci", "ref", "registry", "registry/layout"},
}

// forbidden are packages from elsewhere that would make a package too heavy, or
// give it a reach that it must not have. A name means all packages below, too.
var forbidden = map[string][]string{
	"resolver": {
		"github.com/containerd/containerd/v2/client", "github.com/containerd/containerd/api",
		"google.golang.org/grpc", "github.com/containerd/ttrpc", "github.com/libp2p/go-libp2p",
	},
	"registry/remote": {"github.com/containerd/containerd", "google.golang.org/grpc", "github.com/libp2p/go-libp2p"},
	"server":          {"github.com/containerd/containerd/v2/client", "google.golang.org/grpc"},
	"oci":             {"net/http", "github.com/ipfs/boxo"},
	"ref":             {"net/http", "github.com/ipfs/boxo"},
	"layer":           {"net/http", "github.com/ipfs/boxo"},
	"archive":         {"net/http", "github.com/ipfs/boxo"},
	"dockerarchive":   {"net/http", "github.com/ipfs/boxo"},
}

// Who imports resolver, or reads an archive, must not get the whole of IPFS or
// of containerd with it; and what is one way today must not become a circle of
// habits tomorrow.
func TestDependencies(t *testing.T) {
	for pkg, may := range allowed {
		t.Run(pkg, func(t *testing.T) {
			all := deps(t, pkg)
			for _, own := range may {
				if !slices.Contains(all, module+own) {
					t.Errorf("%s may import %s and does not: take it out of the table", pkg, own)
				}
			}
			for _, dep := range all {
				own, isOwn := strings.CutPrefix(dep, module)
				if isOwn && own != pkg && !slices.Contains(may, own) && !strings.HasPrefix(own, "internal/") {
					t.Errorf("%s imports %s", pkg, own)
				}
				for _, bad := range forbidden[pkg] {
					if dep == bad || strings.HasPrefix(dep, bad+"/") {
						t.Errorf("%s imports %s", pkg, dep)
					}
				}
			}
		})
	}
}

// A new package has to be given its place.
func TestEveryPackageHasItsPlace(t *testing.T) {
	for _, pkg := range list(t, "./...") {
		name, own := strings.CutPrefix(pkg, module)
		top, _, _ := strings.Cut(name, "/")
		if !own || slices.Contains([]string{"cmd", "docs", "hack", "internal", "test"}, top) || strings.HasSuffix(name, "test") {
			continue
		}
		if _, ok := allowed[name]; !ok {
			t.Errorf("%s is not in the table of what packages may import", name)
		}
	}
}

// The command has flags, output and exit codes: what would be a rule of its own
// needs one of these, and belongs into a package that can be tested without it.
func TestCommandHasNoRules(t *testing.T) {
	for _, dep := range strings.Fields(imports(t, "./cmd/image2ipfs")) {
		for _, bad := range []string{
			"net/http", "github.com/ipfs/boxo", "github.com/ipfs/go-ipld-format", "github.com/ipld", "github.com/multiformats",
			"github.com/gofrs/flock", "golang.org/x/sync", "archive/tar", "compress", "crypto", "encoding/binary", "os/exec",
			"github.com/prometheus", "github.com/libp2p", "github.com/containerd/containerd",
			module + "internal", module + "ipfs/car", module + "ipfs/exchange",
		} {
			if dep != module+"internal/input" && dep != module+"internal/output" && (dep == bad || strings.HasPrefix(dep, bad+"/")) { // both are a command's
				t.Errorf("cmd/image2ipfs imports %s", dep)
			}
		}
	}
}

// Only the command decides on a store; ipfs/network joins the one that it is given
// to peers.
func TestOnlyCommandImportsStores(t *testing.T) {
	stores := []string{module + "ipfs/packstore", module + "ipfs/kubo", module + "ipfs/p2p"}
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		imports := strings.Fields(line)
		if strings.HasPrefix(imports[0], module+"cmd/") || imports[0] == module+"ipfs/network" || imports[0] == attackers {
			continue
		}
		for _, store := range stores {
			if slices.Contains(imports[1:], store) {
				t.Errorf("%s imports %s", imports[0], store)
			}
		}
	}
}

// attackers do to a server what no node of this program does to another.
const attackers = module + "test/attack"

// Peer-to-peer is one package's business: nobody else knows libp2p, but those who
// attack it, and ipfs/names its keys.
func TestOnlyP2PImportsLibp2p(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		imports := strings.Fields(line)
		if imports[0] == module+"ipfs/p2p" || imports[0] == attackers {
			continue
		}
		for _, i := range imports[1:] {
			if imports[0] == module+"ipfs/names" && slices.Contains([]string{"github.com/libp2p/go-libp2p/core/crypto", "github.com/libp2p/go-libp2p/core/peer"}, i) {
				continue // keys and their names
			}
			if strings.HasPrefix(i, "github.com/libp2p/") || strings.HasPrefix(i, "github.com/ipfs/boxo/bitswap") {
				t.Errorf("%s imports %s", imports[0], i)
			}
		}
	}
}

// imports are those of a package itself, without its tests.
func imports(t *testing.T, pkg string) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", `{{join .Imports " "}}`, pkg).Output()
	if err != nil {
		t.Fatalf("go list %s: %v", pkg, err)
	}
	return string(out)
}

func deps(t *testing.T, pkg string) []string { return list(t, "-deps", "./"+pkg) }

func list(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.Fields(string(out))
}

// A server that was given no ErrorLog writes what its clients do wrong to the standard
// error of whoever imports it.
func TestServersHaveAnErrorLog(t *testing.T) {
	eachFile(t, func(path string, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok || !isSelector(lit.Type, "http", "Server") {
				return true
			}
			if !slices.ContainsFunc(lit.Elts, func(e ast.Expr) bool {
				kv, ok := e.(*ast.KeyValueExpr)
				if !ok {
					return false
				}
				key, ok := kv.Key.(*ast.Ident)
				return ok && key.Name == "ErrorLog"
			}) {
				t.Errorf("%s has an http.Server without ErrorLog", path)
			}
			return true
		})
	})
}

// Constructors take loggers in an Options or Config, so that all are given one in one way.
func TestLoggersAreOptions(t *testing.T) {
	helpers := []string{"internal/silent/silent.go", "internal/reread/reread.go", "resolver/resolver.go"} // and an option of containerd's kind
	eachFile(t, func(path string, file *ast.File) {
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !f.Name.IsExported() || slices.Contains(helpers, path) {
				continue
			}
			for _, p := range f.Type.Params.List {
				if star, ok := p.Type.(*ast.StarExpr); ok && isSelector(star.X, "slog", "Logger") {
					t.Errorf("%s: %s takes a logger as a parameter of its own: expected an Options or Config", path, f.Name)
				}
			}
		}
	})
}

// eachFile calls fn with the source files that are shipped.
func eachFile(t *testing.T, fn func(path string, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (path == "test" || path == "docs" || path == "hack" || d.Name() == "testdata" || d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err == nil {
			fn(filepath.ToSlash(path), file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// isSelector tells whether an expression is pkg.name.
func isSelector(e ast.Expr, pkg, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == pkg
}
