package arch

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// pkg is one package of ours as its files say it, tests left out.
type pkg struct {
	path    string // below the module
	doc     bool
	imports []string
	uses    []string // "package.Name" of each used name of an imported package; goroutine
	// usesOf has, by the name of a type, the uses of the functions that have the type as receiver or parameter.
	usesOf map[string][]string
	words  []string // the string literals of its code, unquoted
	// compared are the constants ("package.Name") and string literals that its code decides by: the sides of == and !=,
	// the cases of a switch, the keys of maps, and the arguments of searches.
	compared []string
	// parts are the arguments of searches inside of a text.
	parts []string
	// values are, by the name of a constant or variable, the names and literals in the expressions that it is set to.
	values map[string][]string
}

// root returns the module's folder.
func root(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(strings.TrimSpace(string(out)))
}

// readTree parses every package of the module. It reads files itself, and not only what go list says of them: a package
// that does not compile yet is held to the plan too, and go test sees on which files its cached result depends.
func readTree(dir string) ([]pkg, error) {
	packages := map[string]*pkg{}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skip(dir, name)
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		below, err := filepath.Rel(dir, filepath.Dir(name))
		if err != nil {
			return err
		}
		at := filepath.ToSlash(below)
		if packages[at] == nil {
			packages[at] = &pkg{path: at}
		}
		return packages[at].readFile(name)
	})
	var all []pkg
	for _, p := range packages {
		slices.Sort(p.imports)
		p.imports = slices.Compact(p.imports)
		slices.Sort(p.uses)
		p.uses = slices.Compact(p.uses)
		p.follow()
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b pkg) int { return cmp.Compare(a.path, b.path) })
	return all, err
}

// skip leaves out what the go command leaves out: hidden folders, testdata, other modules.
func skip(root, dir string) error {
	if dir == root {
		return nil
	}
	base := filepath.Base(dir)
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" {
		return filepath.SkipDir
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return cmp.Or(err, filepath.SkipDir)
}

// readFile adds what one file imports, uses and says of its package.
func (p *pkg) readFile(name string) error {
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	p.doc = p.doc || saysWhatItIsFor(file)
	names := map[string]string{} // how the file calls a package, and its own name
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		p.imports = append(p.imports, imported)
		own := path.Base(imported)
		names[own] = own
		if spec.Name != nil {
			names[spec.Name.Name] = own
		}
	}
	ast.Inspect(file, func(node ast.Node) bool {
		p.readNode(node, names)
		return true
	})
	for _, declared := range file.Decls {
		if f, ok := declared.(*ast.FuncDecl); ok {
			p.readFunction(f, names)
		}
	}
	return nil
}

// readFunction adds what a function uses to the types of its receiver and parameters.
func (p *pkg) readFunction(f *ast.FuncDecl, names map[string]string) {
	var own pkg
	ast.Inspect(f, func(node ast.Node) bool {
		own.readNode(node, names)
		return true
	})
	if p.usesOf == nil {
		p.usesOf = map[string][]string{}
	}
	parameters := f.Type.Params.List
	if f.Recv != nil {
		parameters = slices.Concat(f.Recv.List, parameters)
	}
	for _, field := range parameters {
		of := field.Type
		if pointer, ok := of.(*ast.StarExpr); ok {
			of = pointer.X
		}
		if name, ok := of.(*ast.Ident); ok {
			p.usesOf[name.Name] = append(p.usesOf[name.Name], own.uses...)
		}
	}
}

// readNode adds what one node of a file uses, says and compares. names are the packages as the file calls them.
func (p *pkg) readNode(node ast.Node, names map[string]string) {
	p.compared = append(p.compared, namesOf(operands(node, names), names)...)
	p.readValues(node, names)
	switch n := node.(type) {
	case *ast.CallExpr:
		if slices.Contains(inTexts, nameOf(n.Fun, names)) {
			p.parts = append(p.parts, namesOf(n.Args, names)...)
		}
	case *ast.BasicLit:
		if word, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
			p.words = append(p.words, word)
		}
	case *ast.GoStmt:
		p.uses = append(p.uses, "goroutine")
	case *ast.SelectorExpr:
		if n.Sel.Name == "Go" { // of a WaitGroup
			p.uses = append(p.uses, "goroutine")
		}
		if name := nameOf(n, names); name != "" {
			p.uses = append(p.uses, name)
		}
	}
}

// readValues adds what a node sets a constant or variable to.
func (p *pkg) readValues(node ast.Node, names map[string]string) {
	var set, to []ast.Expr
	switch n := node.(type) {
	case *ast.ValueSpec:
		for _, name := range n.Names {
			set = append(set, name)
		}
		to = n.Values
	case *ast.AssignStmt:
		set, to = n.Lhs, n.Rhs
	case *ast.RangeStmt:
		set, to = []ast.Expr{n.Value}, []ast.Expr{n.X}
	}
	if p.values == nil {
		p.values = map[string][]string{}
	}
	for i, value := range to {
		if name, ok := set[i].(*ast.Ident); ok {
			p.values[name.Name] = append(p.values[name.Name], namesOf(elements([]ast.Expr{value}), names)...)
		}
	}
}

// follow adds the values of the constants and variables that the package decides by.
func (p *pkg) follow() {
	p.compared, p.parts = p.valuesOf(p.compared), p.valuesOf(p.parts)
}

// valuesOf returns names, without those of constants and variables of the package and with their values.
func (p *pkg) valuesOf(names []string) (values []string) {
	seen := map[string]bool{}
	for len(names) > 0 {
		name := names[0]
		names = names[1:]
		if local, is := strings.CutPrefix(name, localName); !is {
			values = append(values, name)
		} else if !seen[local] {
			seen[local] = true
			names = append(names, p.values[local]...)
		}
	}
	return values
}

// searches are the functions of the standard library that look for a value in a list or compare texts.
var searches = []string{"slices.Contains", "slices.Index", "strings.EqualFold", "cmp.Compare", "strings.Compare"}

// inTexts are the functions of the standard library that look for a part of a text.
var inTexts = []string{"strings.Contains", "strings.HasPrefix", "strings.HasSuffix", "strings.Index", "strings.Cut",
	"strings.CutPrefix", "strings.CutSuffix", "strings.TrimPrefix", "strings.TrimSuffix"}

// operands returns the expressions that a node decides by. packages are as in nameOf.
func operands(node ast.Node, packages map[string]string) []ast.Expr {
	switch n := node.(type) {
	case *ast.CaseClause:
		return n.List
	case *ast.KeyValueExpr: // the keys of a struct are names of fields
		return []ast.Expr{n.Key}
	case *ast.IndexExpr:
		return []ast.Expr{n.Index}
	case *ast.CallExpr:
		if name := nameOf(n.Fun, packages); slices.Contains(searches, name) || slices.Contains(inTexts, name) {
			return elements(n.Args)
		}
	case *ast.BinaryExpr:
		if n.Op == token.EQL || n.Op == token.NEQ {
			return []ast.Expr{n.X, n.Y}
		}
	}
	return nil
}

// elements returns expressions, with the elements of those that are lists.
func elements(list []ast.Expr) []ast.Expr {
	for _, e := range slices.Clone(list) {
		if literal, ok := e.(*ast.CompositeLit); ok {
			list = append(list, literal.Elts...)
		}
	}
	return list
}

// localName stands in front of the name of a constant or variable.
const localName = "="

// namesOf returns the names of expressions that have one.
func namesOf(list []ast.Expr, packages map[string]string) (names []string) {
	for _, e := range list {
		if name := nameOf(e, packages); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// nameOf returns a string literal, "package.Name" for a name of a package that the file calls so, or the name of a
// constant or variable after localName. A conversion has the name of what is converted.
func nameOf(e ast.Expr, packages map[string]string) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		word, _ := strconv.Unquote(e.Value)
		return word
	case *ast.Ident:
		return localName + e.Name
	case *ast.ParenExpr:
		return nameOf(e.X, packages)
	case *ast.CallExpr:
		if of, ok := e.Fun.(*ast.Ident); ok && of.Name == "string" && len(e.Args) == 1 {
			return nameOf(e.Args[0], packages)
		}
	case *ast.SelectorExpr:
		if x, ok := e.X.(*ast.Ident); ok && packages[x.Name] != "" {
			return packages[x.Name] + "." + e.Sel.Name
		}
	}
	return ""
}

// saysWhatItIsFor reports whether a file has the package comment. The generator of .pb.go files copies that of the
// .proto file with an empty line after it.
func saysWhatItIsFor(file *ast.File) bool {
	if file.Doc != nil && strings.TrimSpace(file.Doc.Text()) != "" {
		return true
	}
	return ast.IsGenerated(file) && slices.ContainsFunc(file.Comments, func(c *ast.CommentGroup) bool {
		return c.Pos() < file.Package && strings.HasPrefix(c.Text(), "Package ")
	})
}

// linked is one package that a binary links.
type linked struct {
	ImportPath string
	Module     *struct {
		Path string
		Main bool
	}
}

// link lists every package that commands link, on the platform of the images whatever this one is. It returns nothing
// when a command does not exist yet.
func link(t *testing.T, dir string, commands []string) []linked {
	t.Helper()
	arguments := []string{"list", "-e", "-deps", "-json=ImportPath,Module"}
	for _, command := range commands {
		if files, err := filepath.Glob(filepath.Join(dir, command, "*.go")); err != nil || len(files) == 0 {
			t.Skipf("%s does not exist yet", command)
		}
		arguments = append(arguments, "./"+command)
	}
	list := exec.Command("go", arguments...)
	list.Dir = dir
	list.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%v: %v", list, errorOf(err))
	}
	var packages []linked
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p linked
		switch err := decoder.Decode(&p); {
		case errors.Is(err, io.EOF):
			return packages
		case err != nil:
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// errorOf adds what a command wrote to its standard error.
func errorOf(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return err
}
