package main

import (
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/navefleet/nave/shared/condition"
)

// gap separates the columns of a table.
const gap = "   "

// tableWriter prints the rows of a table. Its columns only grow, so that later rows are below the first ones.
type tableWriter struct {
	out      io.Writer
	headings []string
	brief    bool // digests are short, and the last column ends where the line of a terminal ends
	widths   []int
	isNew    bool // the headings are not printed yet
}

func newTableWriter(out io.Writer, headings []string, brief, headless bool) *tableWriter {
	t := &tableWriter{out: out, brief: brief, widths: make([]int, len(headings)), isNew: !headless}
	for _, heading := range headings {
		t.headings = append(t.headings, cellText(heading))
	}
	return t
}

// usual are the widths of columns whose cells change.
var usual = map[string]int{"READY": len(condition.Unknown), "CONNECTED": len(condition.Unknown), "AGE": len("59m59s"),
	"REVISION": len("main@sha1:01234567"), "VERSION": len("v1.20.30"), "BUNDLE": len("123456")}

// reserve makes columns as wide as their cells may become, so that the rows of a watch stay below each other.
func (t *tableWriter) reserve() {
	for i, heading := range t.headings {
		t.widths[i] = max(t.widths[i], usual[heading])
	}
}

// print prints rows, each on a line, the first time below the headings.
func (t *tableWriter) print(rows [][]string) error {
	var lines [][]string
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, text := range row {
			cells[i] = cellText(text)
			if t.brief {
				cells[i] = briefly(cells[i])
			}
		}
		lines = append(lines, t.measure(cells))
	}
	if t.isNew {
		t.isNew = false
		if err := t.printLine(t.measure(t.headings), false); err != nil {
			return err
		}
	}
	for _, cells := range lines {
		if err := t.printLine(cells, true); err != nil {
			return err
		}
	}
	return nil
}

// cellText returns a text as it can be printed in a table.
func cellText(text string) string { return escaped(oneLine(text), yamlEscape) }

// measure makes the columns as wide as the cells of a row, and returns the cells.
func (t *tableWriter) measure(cells []string) []string {
	for i, cell := range cells {
		t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
	}
	return cells
}

// room returns how many characters the last column may have; 0: any number.
func (t *tableWriter) room() int {
	columns := terminalColumns(t.out)
	if columns == 0 || !t.brief {
		return 0
	}
	last := len(t.widths) - 1
	for _, width := range t.widths[:last] {
		columns -= width + len(gap)
	}
	return max(columns, len(t.headings[last]))
}

// printLine prints the cells of one row, without blanks at its end.
func (t *tableWriter) printLine(cells []string, colours bool) error {
	end, room := len(cells), t.room()
	for end > 0 && cells[end-1] == "" {
		end--
	}
	var line strings.Builder
	for i, cell := range cells[:end] {
		if i == len(t.widths)-1 && room > 0 {
			cell = shortened(cell, room)
		}
		ink := ink("")
		if colours {
			ink = inkOf(t.headings[i], cell)
		}
		line.WriteString(coloured(t.out, ink, cell))
		if i < end-1 {
			line.WriteString(strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(cell)) + gap)
		}
	}
	return writePrintable(t.out, line.String()+"\n")
}

// shortened returns a text with at most so many characters, the last of which is … if something is missing.
func shortened(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return strings.TrimRight(string([]rune(text)[:most-1]), " ") + "…"
}

// longDigest matches the digits of a commit or of a digest.
var longDigest = regexp.MustCompile(`\b([0-9a-f]{8})(?:[0-9a-f]{32}|[0-9a-f]{56})\b`)

// briefly returns a text with short revisions and digests.
func briefly(text string) string { return longDigest.ReplaceAllString(text, "$1") }
