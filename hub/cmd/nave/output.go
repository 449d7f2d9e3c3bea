package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"
	yamlnode "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/shared/telemetry"
)

// program returns the command with its output, and a function that is told how the command ended. The function prints
// the error and returns it; if the command had none, but could not print everything, it prints and returns that. All
// output passes through visible writers: nothing that comes from a hub, a file or a cluster reaches the terminal in
// another way.
func program(out, errOut io.Writer) (*cobra.Command, func(error) error) {
	root := newCommand()
	stdout, stderr := &visible{out: out}, &visible{out: errOut}
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root, func(err error) error {
		stdout.flush()
		err = cmp.Or(err, stdout.failed)
		if err != nil && !errors.Is(err, errReported) {
			fmt.Fprintln(stderr, "nave:", indent(message(err)))
		}
		stderr.flush()
		return err
	}
}

// visible writes text with an escape, such as \u202e, in the place of each character that a terminal obeys, that turns
// the direction of text or that a reader does not see. Line breaks and tabs stay. It keeps the first error, so that
// whoever prints need not look at each.
type visible struct {
	out    io.Writer
	rest   []byte // the beginning of a character
	failed error
}

// Write implements io.Writer.
func (v *visible) Write(p []byte) (int, error) {
	text := append(v.rest, p...)
	end := len(text)
	for i := max(0, end-utf8.UTFMax); i < end; i++ {
		if utf8.RuneStart(text[i]) && !utf8.FullRune(text[i:]) {
			end = i
		}
	}
	v.rest = append([]byte(nil), text[end:]...)
	_, err := io.WriteString(v.out, escaped(string(text[:end]), yamlEscape))
	v.failed = cmp.Or(v.failed, err)
	return len(p), err
}

// flush writes a character that did not come to its end as the one that stands for those.
func (v *visible) flush() {
	if len(v.rest) > 0 {
		v.rest = nil
		_, _ = io.WriteString(v.out, string(utf8.RuneError))
	}
}

// escaped returns a text with an escape in the place of each character that is not to be printed, and with U+FFFD in
// the place of what is not UTF-8.
func escaped(s string, escape func(rune) string) string {
	s = strings.ToValidUTF8(s, string(utf8.RuneError))
	if !strings.ContainsFunc(s, telemetry.Unprintable) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if telemetry.Unprintable(r) {
			b.WriteString(escape(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// yamlEscape is how a double-quoted YAML text has a character.
func yamlEscape(r rune) string {
	if r > 0xffff {
		return fmt.Sprintf(`\U%08x`, r)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// jsonEscape is how a JSON text has a character.
func jsonEscape(r rune) string {
	if r > 0xffff {
		high, low := utf16.EncodeRune(r)
		return fmt.Sprintf(`\u%04x\u%04x`, high, low)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// jsonText returns a value as an indented JSON document that can be printed as it is.
func jsonText(v any) (string, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return escaped(string(b), jsonEscape), err // such characters are in strings only
}

// yamlText returns a value as a YAML document that can be printed as it is.
func yamlText(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	if !strings.ContainsFunc(string(b), telemetry.Unprintable) {
		b, err = yaml.JSONToYAML(b) // what JSON has escapes for, YAML has too
		return string(b), err
	}
	var document yamlnode.Node // of JSON, with the escapes that YAML has too
	if err := yamlnode.Unmarshal([]byte(escaped(string(b), yamlEscape)), &document); err != nil {
		return "", err
	}
	quote(&document)
	var text strings.Builder
	encoder := yamlnode.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(&document); err != nil {
		return "", err
	}
	return escaped(text.String(), yamlEscape), encoder.Close()
}

// documents returns objects as YAML documents that can be printed as they are, each behind "---".
func documents(objects ...map[string]any) (string, error) {
	var all strings.Builder
	for _, o := range objects {
		text, err := yamlText(o)
		if err != nil {
			return "", err
		}
		all.WriteString("---\n" + text)
	}
	return all.String(), nil
}

// quote makes blocks of what was written as JSON, and double-quoted texts, which can have escapes, of what holds
// characters that are not to be printed.
func quote(n *yamlnode.Node) {
	n.Style = 0
	if n.Kind == yamlnode.ScalarNode && strings.ContainsFunc(n.Value, telemetry.Unprintable) {
		n.Style = yamlnode.DoubleQuotedStyle
	}
	for _, child := range n.Content {
		quote(child)
	}
}

// oneLine keeps a message from breaking a line or a table.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// indent keeps the further lines of a message below its first.
func indent(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n      ") }
