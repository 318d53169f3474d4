package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A limit is a time-out, a size or a count that the source fixes, or the default
// of a field that a program may set.
type limit struct{ of, name, value, meaning string }

// writeLimitsPage writes the page of all time-outs and limits of the packages
// below root.
func writeLimitsPage(root, file string) error {
	limits, err := collectLimits(root)
	if err != nil {
		return err
	}
	if len(limits) == 0 {
		return fmt.Errorf("no limits in the packages below %s", root)
	}
	slices.SortStableFunc(limits, func(a, b limit) int { return cmp.Compare(a.of, b.of) })
	var page bytes.Buffer
	page.WriteString("<!-- Made by \"make docs\" from the source. -->\n\n# Time-outs and limits\n\n" +
		"Those that the source fixes, and, with their type's name, defaults of what a program may set. What users may set is in the pages of the commands.\n")
	of := ""
	for _, l := range limits {
		if l.of != of {
			of = l.of
			fmt.Fprintf(&page, "\n## %s\n\n| name | value | |\n|---|---|---|\n", of)
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s |\n", l.name, l.value, l.meaning)
	}
	return os.WriteFile(file, page.Bytes(), 0o644)
}

func collectLimits(root string) (limits []limit, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(name, ".") || slices.Contains([]string{"test", "hack", "docs", "testdata", "bin", "dist"}, name)):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		of, err := filepath.Rel(root, filepath.Dir(path))
		for _, decl := range parsed.Decls {
			if d, ok := decl.(*ast.GenDecl); ok {
				limits = append(limits, declared(filepath.ToSlash(of), d)...)
			}
		}
		return err
	})
	return limits, err
}

func declared(of string, d *ast.GenDecl) (limits []limit) {
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.ValueSpec:
			if d.Tok == token.CONST {
				limits = append(limits, constants(of, s, commentText(s.Doc, s.Comment, d.Doc))...)
			}
		case *ast.TypeSpec:
			if fields, ok := s.Type.(*ast.StructType); ok {
				limits = append(limits, defaults(of, s.Name.Name, fields)...)
			}
		}
	}
	return limits
}

// constants are the limits of a line of declarations, which may have several; they share
// its comment.
func constants(of string, s *ast.ValueSpec, meaning string) (limits []limit) {
	for i, name := range s.Names {
		if i >= len(s.Values) { // a repetition of the line before
			break
		}
		isCount := func(n *ast.Ident) bool { return counted.MatchString(n.Name) }
		if value := valueText(name.Name, s.Values[i], slices.ContainsFunc(s.Names, isCount)); value != "" {
			limits = append(limits, limit{of, name.Name, value, meaning})
		}
	}
	return limits
}

// byDefault matches how the comment of a field says what it is when it is 0.
var byDefault = regexp.MustCompile(`[,;] *(?:default (.+?)|(\S+(?: \S+)?) when 0)(?:[,.:;]|$)`)

func defaults(of, name string, s *ast.StructType) (limits []limit) {
	for _, f := range s.Fields.List {
		text := commentText(f.Doc, f.Comment)
		match := byDefault.FindStringSubmatch(text)
		if match == nil || len(f.Names) != 1 || !f.Names[0].IsExported() {
			continue
		}
		limits = append(limits, limit{of, name + "." + f.Names[0].Name, cmp.Or(match[1], match[2]), text})
	}
	return limits
}

// commentText is the first of the comments that says something, in one line.
func commentText(comments ...*ast.CommentGroup) string {
	for _, c := range comments {
		if text := strings.Join(strings.Fields(c.Text()), " "); text != "" {
			return strings.ReplaceAll(text, "|", `\|`)
		}
	}
	return ""
}

// counted matches the names of limits that are plain numbers, and of numbers that are
// none without the others on their line.
var counted = regexp.MustCompile(`^(max|most|min|least)[A-Z]|(Burst|Each)$`)

// valueText is a constant's value for humans; "" for one that is no limit. Of plain
// numbers those are limits whose line says so.
func valueText(name string, e ast.Expr, isCount bool) string {
	text := types.ExprString(e)
	for unit, d := range map[string]time.Duration{"Millisecond": time.Millisecond, "Second": time.Second, "Minute": time.Minute, "Hour": time.Hour} {
		text = strings.ReplaceAll(text, "time."+unit, strconv.FormatInt(int64(d), 10))
	}
	isTime := text != types.ExprString(e)
	value, err := types.Eval(token.NewFileSet(), nil, token.NoPos, text)
	if err != nil || value.Value == nil {
		return "" // made of other constants
	}
	n, exact := constant.Int64Val(constant.ToInt(value.Value))
	switch {
	case !exact || n >= 1<<60 || strings.HasPrefix(name, "default"): // no limit, or a field's, which has it
		return ""
	case isTime:
		return timeText(time.Duration(n))
	case strings.Contains(text, "<<"):
		return sizeText(n)
	case isCount:
		return strconv.FormatInt(n, 10)
	}
	return ""
}

// timeText is "1m0s" as people write it.
func timeText(d time.Duration) string {
	units := []struct {
		of   time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}}
	for _, u := range units {
		if d >= u.of && d%u.of == 0 {
			return fmt.Sprintf("%d %s", d/u.of, u.name)
		}
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

func sizeText(n int64) string {
	for shift, unit := range map[int]string{40: "TiB", 30: "GiB", 20: "MiB", 10: "KiB"} {
		if size := int64(1) << shift; n >= size && n < size<<10 {
			return strconv.FormatFloat(float64(n)/float64(size), 'g', 4, 64) + " " + unit
		}
	}
	return strconv.FormatInt(n, 10) + " bytes"
}
