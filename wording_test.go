package image2ipfs_test

import (
	"go/ast"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestJSONIsToldInItsOwnWords has every error about a JSON text go by internal/jsontext:
// what encoding/json says names Go's types. Who asks only whether there is an error may
// ask encoding/json itself.
func TestJSONIsToldInItsOwnWords(t *testing.T) {
	seen := 0
	eachFile(t, func(path string, file *ast.File) {
		dir := filepath.ToSlash(filepath.Dir(path)) + "/"
		if dir == "internal/jsontext/" || strings.HasPrefix(dir, "test/") || strings.HasPrefix(dir, "hack/") {
			return
		}
		asked := map[ast.Node]bool{} // calls whose error is told to nobody
		decodes, told := false, false
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				asked[n.X] = n.Op == token.EQL || n.Op == token.NEQ
			case *ast.AssignStmt:
				if name, ok := n.Lhs[0].(*ast.Ident); ok && name.Name == "_" {
					asked[n.Rhs[0]] = true
				}
			case *ast.CallExpr:
				if isSelector(n.Fun, "json", "Unmarshal") {
					if seen++; !asked[n] {
						t.Errorf("%s: an error is encoding/json's: take jsontext.Unmarshal", path)
					}
				}
				decodes = decodes || isSelector(n.Fun, "json", "NewDecoder")
				told = told || isSelector(n.Fun, "jsontext", "Fault") || isSelector(n.Fun, "e", "mapError") // which calls it
			}
			return true
		})
		if decodes && !told {
			t.Errorf("%s: errors of a json.Decoder are encoding/json's: give them to jsontext.Fault", path)
		}
	})
	if seen == 0 {
		t.Error("no call found")
	}
}
