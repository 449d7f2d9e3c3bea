package main

import (
	"io"
	"strings"
	"unicode/utf8"
)

// gap separates the columns of a table.
const gap = "   "

// tableWriter prints the rows of a table. Its columns only grow, so that later rows are below the first ones.
type tableWriter struct {
	out      io.Writer
	headings []string
	cut      bool // the last column ends where the line of a terminal ends
	widths   []int
}

func newTableWriter(out io.Writer, headings []string, cut bool) *tableWriter {
	return &tableWriter{out: out, headings: headings, cut: cut, widths: make([]int, len(headings))}
}

// print prints rows, each on a line.
func (t *tableWriter) print(rows [][]string) error {
	lines := make([][]string, len(rows))
	for i, row := range rows {
		for column, text := range row {
			cell := escaped(oneLine(text), yamlEscape)
			lines[i] = append(lines[i], cell)
			t.widths[column] = max(t.widths[column], utf8.RuneCountInString(cell))
		}
	}
	for _, cells := range lines {
		if err := t.printLine(cells, t.room()); err != nil {
			return err
		}
	}
	return nil
}

// room returns how many characters the last column may have; 0: any number.
func (t *tableWriter) room() int {
	columns := terminalColumns(t.out)
	if columns == 0 || !t.cut {
		return 0
	}
	last := len(t.widths) - 1
	for _, width := range t.widths[:last] {
		columns -= width + len(gap)
	}
	return max(columns, len(t.headings[last]))
}

// printLine prints the cells of one row, without blanks at its end.
func (t *tableWriter) printLine(cells []string, room int) error {
	end := len(cells)
	for end > 0 && cells[end-1] == "" {
		end--
	}
	var line strings.Builder
	for i, cell := range cells[:end] {
		if i == len(t.widths)-1 && room > 0 {
			cell = shortened(cell, room)
		}
		line.WriteString(cell)
		if i < end-1 {
			line.WriteString(strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(cell)) + gap)
		}
	}
	_, err := io.WriteString(t.out, line.String()+"\n")
	return err
}

// shortened returns a text with at most so many characters, the last of which is … if something is missing.
func shortened(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return strings.TrimRight(string([]rune(text)[:most-1]), " ") + "…"
}

// terminalColumns returns the width of the terminal that a writer prints to; 0: it is no terminal.
func terminalColumns(out io.Writer) int {
	if v, ok := out.(*visible); ok && v.columns != nil {
		return v.columns()
	}
	return 0
}
