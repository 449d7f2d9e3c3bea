package image

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// The texts that stand for hidden lines, and for the two versions of one that differs.
const (
	hidden       = "<hidden>"
	hiddenBefore = "<hidden, before>"
	hiddenAfter  = "<hidden, after>"
)

// HideSecrets returns two versions of a file, of which Update made the second, for people who may not see Secrets. In
// Secrets, all but their names, labels, types and keys is hidden, and so are the values of secretGenerator. A hidden
// line that differs says so.
func HideSecrets(old, new []byte) (before, after string) {
	documents, err := parse(new)
	if err != nil { // Update never makes such a file
		return hiddenBefore, hiddenAfter
	}
	was, is := splitLines(old), splitLines(new)
	if len(was) != len(is) {
		return hiddenBefore, hiddenAfter
	}
	f := &veil{old: was, new: is}
	for i, d := range documents {
		end := len(is) + 1
		if i+1 < len(documents) && root(documents[i+1]) != nil {
			end = root(documents[i+1]).Line
		}
		if top := root(d); top != nil {
			f.look(top, end)
		}
	}
	return strings.Join(was, ""), strings.Join(is, "")
}

// veil hides lines of two versions of a file, whose values are on the same lines.
type veil struct{ old, new []string }

// look hides what is secret in a node, which ends before a line.
func (v *veil) look(node *yaml.Node, end int) {
	switch {
	case node.Kind == yaml.MappingNode && textOf(node, "kind") == "Secret":
		v.hideSecret(node, end)
	case node.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == "secretGenerator" {
				v.hide(node.Content[i], node.Content[i+1], endOf(node, i+1, end))
			} else {
				v.look(node.Content[i+1], endOf(node, i+1, end))
			}
		}
	default:
		for i, item := range node.Content {
			v.look(item, endOf(node, i, end))
		}
	}
}

// endOf returns the line before which an entry of a list or a map ends. In the flow style the next one may begin on the
// last line of the entry.
func endOf(node *yaml.Node, i, end int) int {
	switch {
	case i+1 == len(node.Content):
		return end
	case node.Style&yaml.FlowStyle != 0:
		return node.Content[i+1].Line + 1
	}
	return node.Content[i+1].Line
}

// hideSecret hides the values of a Secret.
func (v *veil) hideSecret(secret *yaml.Node, end int) {
	if secret.Style&yaml.FlowStyle != 0 {
		v.hideLines(secret.Line, end, secret.Line, secret.Column)
		return
	}
	for i := 0; i+1 < len(secret.Content); i += 2 {
		key, value, last := secret.Content[i], secret.Content[i+1], endOf(secret, i+1, end)
		switch key.Value {
		case "apiVersion", "kind", "type", "immutable":
		case "metadata":
			v.hideFields(key, value, last, func(field string) bool { return field == "annotations" })
		default:
			v.hideFields(key, value, last, func(string) bool { return true })
		}
	}
	v.hideComments(secret.Line, end)
}

// hideFields hides the chosen fields of a map. Anything but a map in the block style is hidden as a whole.
func (v *veil) hideFields(key, value *yaml.Node, end int, chosen func(field string) bool) {
	if value.Kind != yaml.MappingNode || value.Style&yaml.FlowStyle != 0 || value.Line == key.Line {
		v.hide(key, value, end)
		return
	}
	for i := 0; i+1 < len(value.Content); i += 2 {
		if chosen(value.Content[i].Value) {
			v.hide(value.Content[i], value.Content[i+1], endOf(value, i+1, end))
		}
	}
}

// hideComments hides comments of a document: on lines of their own, and behind what is not hidden.
func (v *veil) hideComments(begin, end int) {
	for line := begin; line < end && line <= len(v.new) && !v.endsDocument(line, begin); line++ {
		was, is := commentOf(v.old[line-1]), commentOf(v.new[line-1])
		if was >= 0 || is >= 0 {
			v.hideLine(line, max(0, min(was, is)))
		}
	}
}

// commentOf returns how many characters of a line are before its comment; -1: it has none.
func commentOf(line string) int {
	at := strings.Index(" "+strings.ReplaceAll(line, "\t", " "), " #") // in line, the # is there
	if at < 0 {
		return -1
	}
	return len([]rune(line[:at]))
}

// endsDocument reports whether a line below the first one is the end of the document.
func (v *veil) endsDocument(line, begin int) bool {
	text := v.new[line-1]
	return line > begin && (strings.HasPrefix(text, "---") || strings.HasPrefix(text, "..."))
}

// hide hides a value up to a line. Its key stays.
func (v *veil) hide(key, value *yaml.Node, end int) {
	v.hideLines(key.Line, end, value.Line, value.Column)
}

// hideLines hides lines. What is before a column of one of them stays, and so does the first one if that one is below.
func (v *veil) hideLines(begin, end, from, column int) {
	for line := begin; line < end && line <= len(v.new) && !v.endsDocument(line, begin); line++ {
		switch {
		case line == from:
			v.hideLine(line, column-1)
		case line > begin:
			v.hideLine(line, 0)
		}
	}
}

// hideLine hides a line behind its first characters; 0: behind its indentation. An empty one stays.
func (v *veil) hideLine(line, keep int) {
	was, is := &v.old[line-1], &v.new[line-1]
	if strings.TrimSpace(*is) == "" && *was == *is {
		return
	}
	before, after := hidden, hidden
	if *was != *is {
		before, after = hiddenBefore, hiddenAfter
	}
	*was, *is = masked(*was, keep, before), masked(*is, keep, after)
}

// masked returns a line with a text after its first characters. Its indentation and its end stay.
func masked(line string, keep int, text string) string {
	runes := []rune(line)
	prefix := string(runes[:min(keep, len(runes))])
	if keep == 0 {
		prefix = line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	}
	end := line[len(strings.TrimRight(line, "\r\n\u0085\u2028\u2029")):]
	return prefix + text + end
}
