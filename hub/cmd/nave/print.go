package main

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/spf13/cobra"
	kjson "sigs.k8s.io/json"
)

// outputFlags are the flags of a command that reads: the format of its output, and tables without headings.
type outputFlags struct {
	format    string
	noHeaders bool
}

// formats are those of --output, for messages.
const formats = "json, yaml, name, wide, jsonpath=TEMPLATE or custom-columns=HEADING:PATH,…"

// add adds the flags to a command.
func (o *outputFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.format, "output", "o", "", formats+", as with kubectl")
	cmd.Flags().BoolVar(&o.noHeaders, "no-headers", false, "print tables without their headings")
}

// isTable reports whether the output is a table of Nave's columns.
func (o outputFlags) isTable() bool { return o.format == "" || o.isWide() }

// isWide reports whether the table has all columns, and its messages whole.
func (o outputFlags) isWide() bool { return o.format == "wide" }

// isForPeople reports whether the output has columns, so that "none found" is a message and no empty document.
func (o outputFlags) isForPeople() bool {
	return o.isTable() || strings.HasPrefix(o.format, customColumns)
}

// The formats with an argument.
const (
	jsonPath      = "jsonpath="
	customColumns = "custom-columns="
)

// printout is what a command that reads prints.
type printout struct {
	value any      // the document of json, yaml and jsonpath
	items []any    // the lines of custom-columns; nil: one, of the value
	names []string // the lines of -o name
	table table
	notes []string                  // the lines below the table
	text  func(out io.Writer) error // prints what is for people, in place of a table
}

// table is a list for people.
type table struct {
	headings []string
	rows     [][]string
}

// printer prints printouts in the format of --output. A second one goes on with the table of the first.
type printer struct {
	outputFlags
	out     io.Writer
	path    jsonTemplate   // of jsonpath
	columns []customColumn // of custom-columns
	lines   *tableWriter   // of the present table
	stable  bool           // the table is of a watch
}

// printer returns the printer of a command, or an error if it does not know the format.
func (o outputFlags) printer(cmd *cobra.Command) (*printer, error) {
	p := &printer{outputFlags: o, out: cmd.OutOrStdout()}
	var err error
	switch template, isPath := strings.CutPrefix(o.format, jsonPath); {
	case isPath:
		p.path, err = parsePath(template)
	case strings.HasPrefix(o.format, customColumns):
		p.columns, err = parseColumns(strings.TrimPrefix(o.format, customColumns))
	case !o.isTable() && o.format != "json" && o.format != "yaml" && o.format != "name":
		err = fmt.Errorf("unknown output %q: want %s", o.format, formats)
	}
	if err == nil && o.noHeaders && !o.isForPeople() {
		err = fmt.Errorf("--no-headers does nothing with -o %s: leave it out", o.format)
	}
	return p, withExit2(err)
}

// print prints a printout.
func (p *printer) print(l printout) error {
	switch {
	case p.isTable() && l.text != nil && p.noHeaders:
		return errNoTable
	case p.isTable() && l.text != nil:
		return l.text(p.out)
	case p.isTable():
		err := p.printRows(l.table, !p.isWide())
		for _, note := range l.notes {
			fmt.Fprintln(p.out, note)
		}
		return err
	case p.path != "":
		return p.printPath(l.value)
	case p.columns != nil:
		return p.printColumns(l)
	case p.format == "name":
		if l.names == nil {
			return usageError("-o name: these are no objects with names; want json, yaml, jsonpath=… or custom-columns=…")
		}
		for _, name := range l.names {
			fmt.Fprintln(p.out, oneLine(name))
		}
		return nil
	}
	return printIn(p.out, p.format, l.value)
}

// errNoTable is the error of a command that prints no table unless it is told to.
var errNoTable = usageError("--no-headers does nothing here without -o custom-columns=…: leave it out")

// printPath prints a value by the template of jsonpath.
func (p *printer) printPath(value any) error {
	value, err := jsonValues(value)
	if err == nil {
		err = p.path.print(p.out, value)
	}
	if err != nil {
		return fmt.Errorf("-o %s: %w", p.format, err)
	}
	return nil
}

// printRows prints the rows of a table, the first time below their headings. brief: they are for a look, with short
// revisions and messages that fit a terminal.
func (p *printer) printRows(t table, brief bool) error {
	if p.lines == nil {
		p.lines = newTableWriter(p.out, t.headings, brief, p.noHeaders)
		if p.stable {
			p.lines.reserve()
		}
	}
	return p.lines.print(t.rows)
}

// endTable ends the present table, so that another one can follow after an empty line.
func (p *printer) endTable() {
	if p.lines != nil {
		fmt.Fprintln(p.out)
	}
	p.lines = nil
}

// customColumn is a column of custom-columns: a heading and the path of a field.
type customColumn struct {
	heading string
	path    jsonTemplate
}

// parseColumns reads HEADING:PATH,….
func parseColumns(spec string) (columns []customColumn, err error) {
	for _, part := range strings.Split(spec, ",") {
		heading, path, ok := strings.Cut(part, ":")
		if !ok || path == "" {
			return nil, fmt.Errorf("-o %s%s: %q is no column: want HEADING:PATH, such as NAME:.metadata.name", customColumns,
				spec, part)
		}
		parsed, err := parsePath(strings.Trim(path, "{}"))
		if err != nil {
			return nil, err
		}
		columns = append(columns, customColumn{heading, parsed})
	}
	return columns, nil
}

// printColumns prints the items of a printout in the columns of custom-columns.
func (p *printer) printColumns(l printout) error {
	items := l.items
	if items == nil {
		items = []any{l.value}
	}
	var headings []string
	for _, c := range p.columns {
		headings = append(headings, c.heading)
	}
	rows := make([][]string, len(items))
	for i, item := range items {
		value, err := jsonValues(item)
		if err != nil {
			return err
		}
		for _, c := range p.columns {
			cell, err := c.cell(value)
			if err != nil {
				return err
			}
			rows[i] = append(rows[i], cell)
		}
	}
	return p.printRows(table{headings, rows}, false)
}

// cell returns the values of a column, as kubectl prints them.
func (c customColumn) cell(value any) (string, error) {
	found, err := c.path.find(value)
	if err != nil {
		return "", fmt.Errorf("column %s: %w", c.heading, err)
	}
	var texts []string
	for _, results := range found {
		for _, r := range results {
			texts = append(texts, cellOf(r))
		}
	}
	if len(texts) == 0 {
		return "<none>", nil
	}
	return strings.Join(texts, ","), nil
}

// cellOf returns one value of a column.
func cellOf(v reflect.Value) string {
	if !v.IsValid() || !v.CanInterface() || v.Interface() == nil {
		return "<none>"
	}
	return fmt.Sprint(v.Interface())
}

// jsonValues returns a value as encoding to JSON and back makes it, with whole numbers as such.
func jsonValues(v any) (values any, err error) {
	data, err := json.Marshal(v)
	if err == nil {
		err = kjson.UnmarshalCaseSensitivePreserveInts(data, &values)
	}
	return values, err
}
