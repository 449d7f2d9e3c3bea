// Package template parses and carries out the templates of commit messages and pull requests, which have the functions
// of Flux's.
//
// Templates come from tenants, so they are bounded by what they make, by their steps and by time. Each round of a
// range, each branch and each template that is carried out is a step: Execute adds a call that counts to each. Each
// value that a function makes is weighed. The errors are about the template, and not about the process that it would
// use up.
package template

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"text/template"
	"text/template/parse"
)

// removed are fields that Flux's templates had, each with what to write instead.
var removed = map[string]string{
	".Updated": "range over .Changed.Changes, which have .OldValue, .NewValue and .Setter",
	".Changed.ImageResult": "range over .Changed.Objects or .Changed.Changes, which have .OldValue, .NewValue and " +
		".Setter",
}

const name = "message" // of templates in errors

// Check returns an error if a text is no template.
func Check(text string) error {
	_, err := template.New(name).Funcs(functions()).Parse(text)
	return advise(text, err)
}

// Execute returns the text that a template makes of data. It is not empty. The bounds grow with the number of changes
// in the data, so that a template may list all of them.
func Execute(text string, data any, changes int) (string, error) {
	out, err := newBounds(changes).execute(text, data)
	if err == nil && strings.TrimSpace(out) == "" {
		err = errors.New("the message is empty")
	}
	if err != nil {
		return "", advise(text, err)
	}
	return out, nil
}

func (b *bounds) execute(text string, data any) (string, error) {
	all := functions()
	for name, f := range all {
		all[name] = b.guard(name, f)
	}
	all[stepName] = b.step
	t, err := template.New(name).Funcs(all).Parse(text)
	if err != nil {
		return "", err
	}
	count, err := template.New("").Funcs(all).Parse("{{" + stepName + "}}")
	if err != nil {
		return "", err
	}
	for _, part := range t.Templates() {
		addSteps(part.Root, count.Root.Nodes[0])
	}
	out := limited{limit: b.text}
	err = t.Execute(&out, data)
	if over, ok := errors.AsType[*boundError](err); ok {
		err = over // the place is that of a call which the template does not have
	}
	return out.String(), err
}

// advise adds what to write in place of removed fields to an error.
func advise(text string, err error) error {
	if err == nil {
		return nil
	}
	for field, instead := range removed {
		if strings.Contains(text, field) {
			err = fmt.Errorf("%w; %s was removed: %s", err, field, instead)
		}
	}
	return err
}

// addSteps begins a list, and each list in it, with a call.
func addSteps(list *parse.ListNode, call parse.Node) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.RangeNode:
			addSteps(n.List, call)
			addSteps(n.ElseList, call)
		case *parse.IfNode:
			addSteps(n.List, call)
			addSteps(n.ElseList, call)
		case *parse.WithNode:
			addSteps(n.List, call)
			addSteps(n.ElseList, call)
		}
	}
	list.Nodes = append([]parse.Node{call.Copy()}, list.Nodes...)
}

// limited keeps up to limit bytes.
type limited struct {
	bytes.Buffer
	limit int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > l.limit {
		return 0, errors.New("the message has more than " + textLimit)
	}
	return l.Buffer.Write(p)
}
