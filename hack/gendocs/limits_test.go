package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"testing"
)

// TestLimitsOnOneLine: several constants of one line are limits as those of their own.
func TestLimitsOnOneLine(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "x.go", `package x

const (
	maxUploads, uploadsEach = 1024, 64 // that are open
	// writeBurst are at once, after them one each writePause.
	writeBurst, writePause = 2000, 5 * time.Millisecond
	width, height = 720, 120
	maxQueued = 1000
)
`, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, decl := range file.Decls {
		if d, ok := decl.(*ast.GenDecl); ok {
			for _, l := range declared("x", d) {
				got[l.name] = l.value
				if l.name != "maxQueued" && l.meaning == "" {
					t.Errorf("%s has no comment", l.name)
				}
			}
		}
	}
	want := map[string]string{"maxUploads": "1024", "uploadsEach": "64", "writeBurst": "2000", "writePause": "5 ms", "maxQueued": "1000"}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%v, want %v", got, want)
	}
}
