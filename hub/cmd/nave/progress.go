package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// progress prints the results of a command on standard output, and on standard error what the command waits for. On a
// terminal that is one line, which is replaced; elsewhere, each change is a line. Its methods may be called by several
// goroutines.
type progress struct {
	out, lines io.Writer
	terminal   *visible // nil: standard error is none

	mu    sync.Mutex
	waits []awaited // the one that changed last is the last
}

// awaited is what a command waits for, and how far it is.
type awaited struct{ name, text string }

func newProgress(cmd *cobra.Command) *progress {
	p := &progress{out: cmd.OutOrStdout(), lines: cmd.ErrOrStderr()}
	if v, is := p.lines.(*visible); is && v.columns != nil && knowsEscapes(os.Getenv("TERM")) {
		p.terminal = v
	}
	return p
}

// printf prints a result.
func (p *progress) printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.out, format, args...)
	p.draw()
}

// note prints a line about the results, such as what they lack.
func (p *progress) note(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintln(p.lines, "nave:", text)
	p.draw()
}

// show prints how far something is that the command waits for, unless that is what was printed of it last.
func (p *progress) show(name, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := awaited{oneLine(name), oneLine(text)}
	if slices.Contains(p.waits, now) {
		return
	}
	p.forget(now.name)
	p.waits = append(p.waits, now)
	if p.terminal == nil {
		fmt.Fprintf(p.lines, "◎ %s: %s\n", now.name, now.text)
	}
	p.draw()
}

// showHubGone prints that the command waits for a hub that went away, until endHubGone.
func (p *progress) showHubGone(err error) {
	p.show("the hub", "it went away, waiting for it: "+message(err))
}

// endHubGone ends showHubGone: the hub is there.
func (p *progress) endHubGone() { p.end("the hub") }

// end takes something away that the command does not wait for any more. If the command did not wait for it, nothing
// changes.
func (p *progress) end(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.ContainsFunc(p.waits, func(a awaited) bool { return a.name == oneLine(name) }) {
		return
	}
	p.clear()
	p.forget(oneLine(name))
	p.draw()
}

func (p *progress) forget(name string) {
	p.waits = slices.DeleteFunc(p.waits, func(a awaited) bool { return a.name == name })
}

// eraseLine moves the cursor of a terminal to the beginning of its line, and erases the line.
const eraseLine = "\r\x1b[K"

func (p *progress) clear() {
	if p.terminal != nil && len(p.waits) > 0 {
		fmt.Fprint(p.terminal.out, eraseLine)
	}
}

// draw prints the line of a terminal: what changed last, and how many others are awaited.
func (p *progress) draw() {
	if p.terminal == nil || len(p.waits) == 0 {
		return
	}
	last, more := p.waits[len(p.waits)-1], ""
	if others := len(p.waits) - 1; others > 0 {
		more = fmt.Sprintf(" (and %d more)", others)
	}
	line := escaped("◎ "+last.name+": "+last.text, yamlEscape)
	room := cmp.Or(p.terminal.columns(), 80) - 1 - utf8.RuneCountInString(more) // a full line would move the cursor on
	fmt.Fprint(p.terminal.out, eraseLine+shortened(line, max(room, 1))+more)
}
