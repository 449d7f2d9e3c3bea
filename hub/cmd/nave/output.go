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

// program returns the command with its output, and a function for the error of the command. The function prints the
// error and returns it. If the command had no error, but could not write all of its output, the function prints and
// returns the error of the write. All output passes through visible writers, so that no text of a hub, a file or a
// cluster reaches the terminal unescaped.
func program(out, errOut io.Writer) (*cobra.Command, func(error) error) {
	root := newCommand()
	stdout, stderr := newVisible(out), newVisible(errOut)
	root.SetOut(stdout)
	root.SetErr(stderr)
	runs := false
	eachRun(root, func() { runs = true })
	return root, func(err error) error {
		if !runs {
			err = withExit2(err) // of the command line
		}
		stdout.flush()
		err = cmp.Or(err, stdout.failed)
		if err != nil && !errors.Is(err, errReported) && !errors.Is(err, errDifferent) {
			fmt.Fprintln(stderr, "nave:", indent(message(err)))
		}
		stderr.flush()
		return err
	}
}

// eachRun calls a function before a command runs.
func eachRun(cmd *cobra.Command, begin func()) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			begin()
			return run(cmd, args)
		}
	}
	for _, below := range cmd.Commands() {
		eachRun(below, begin)
	}
}

// escaped returns a text in which each unprintable character is replaced by its escape, and bytes that are not UTF-8
// are replaced by U+FFFD.
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

// yamlEscape returns the escape of a character in a double-quoted YAML text.
func yamlEscape(r rune) string {
	if r > 0xffff {
		return fmt.Sprintf(`\U%08x`, r)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// jsonEscape returns the escape of a character in a JSON text.
func jsonEscape(r rune) string {
	if r > 0xffff {
		high, low := utf16.EncodeRune(r)
		return fmt.Sprintf(`\u%04x\u%04x`, high, low)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// jsonText returns a value as an indented JSON document without unprintable characters.
func jsonText(v any) (string, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return escaped(string(b), jsonEscape), err // only strings can have unprintable characters
}

// yamlText returns a value as a YAML document without unprintable characters.
func yamlText(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	if !strings.ContainsFunc(string(b), telemetry.Unprintable) {
		b, err = yaml.JSONToYAML(b) // YAML escapes all characters that JSON escapes
		return string(b), err
	}
	var document yamlnode.Node // of JSON with escapes of YAML
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

// printIn prints a value as a document in a format, json or yaml.
func printIn(out io.Writer, format string, v any) error {
	encode := jsonText
	if format == "yaml" {
		encode = yamlText
	}
	text, err := encode(v)
	if err == nil {
		_, err = fmt.Fprintln(out, strings.TrimSpace(text))
	}
	return err
}

// documents returns objects as YAML documents without unprintable characters, each after a line "---".
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

// quote sets the block style for maps and lists that were written as JSON. Texts with unprintable characters get double
// quotes, because only those can have escapes.
func quote(n *yamlnode.Node) {
	n.Style = 0
	if n.Kind == yamlnode.ScalarNode && strings.ContainsFunc(n.Value, telemetry.Unprintable) {
		n.Style = yamlnode.DoubleQuotedStyle
	}
	for _, child := range n.Content {
		quote(child)
	}
}

// oneLine returns a message on one line, so that it cannot break a table.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// indent returns a message whose lines after the first one are indented.
func indent(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n      ") }
