package decrypt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/getsops/sops/v3"
	"go.yaml.in/yaml/v3"
	"gopkg.in/ini.v1"

	"github.com/navefleet/nave/shared/bundle"
)

// emit returns decrypted documents as a file of a format, with the bytes that the stores of SOPS write. Formats other
// than YAML hold the first document only. If the format cannot hold the documents, the error has the reason, without
// values.
func emit(docs []document, format bundle.Format) (text []byte, err error) {
	defer func() {
		if recover() != nil {
			text, err = nil, fmt.Errorf("the decrypted content cannot be written as %s", format)
		}
	}()
	if format == bundle.YAML {
		return emitYAML(docs)
	}
	var tree sops.TreeBranch
	if len(docs) > 0 {
		tree = docs[0].tree
	}
	switch format {
	case bundle.JSON:
		return emitJSON(tree)
	case bundle.Dotenv:
		return emitDotenv(tree)
	case bundle.INI:
		return emitINI(tree)
	case bundle.Binary:
		return emitBinary(tree)
	}
	return nil, fmt.Errorf("%w: %q", ErrFormat, format)
}

// emitBinary returns the value of the key data, which is a whole file.
func emitBinary(tree sops.TreeBranch) ([]byte, error) {
	for _, item := range tree {
		if item.Key != "data" {
			continue
		}
		switch v := item.Value.(type) {
		case string:
			return []byte(v), nil
		case []byte:
			return v, nil
		}
	}
	return nil, errors.New("the content is not one encrypted file, which has a single text named data; name the entry " +
		"of the Secret with the extension of the file's format (.yaml, .json, .env, .ini)")
}

func emitDotenv(tree sops.TreeBranch) ([]byte, error) {
	var out bytes.Buffer
	for _, item := range tree {
		if comment, ok := item.Key.(sops.Comment); ok {
			fmt.Fprintf(&out, "#%s\n", comment.Value)
			continue
		}
		switch item.Value.(type) {
		case sops.TreeBranch, []any:
			return nil, fmt.Errorf("%v: dotenv has no nested values", item.Key)
		}
		fmt.Fprintf(&out, "%v=%s\n", item.Key, dotenvText(item.Value))
	}
	return out.Bytes(), nil
}

// dotenvText returns a value as it is written after the equals sign.
func dotenvText(v any) string { return strings.ReplaceAll(plainText(v), "\n", `\n`) }

// plainText returns a value as SOPS writes it in formats without types.
func plainText(v any) string {
	switch v := v.(type) {
	case float64:
		text := strconv.FormatFloat(v, 'G', -1, 64)
		if !strings.ContainsAny(text, ".E") {
			return strconv.FormatFloat(v, 'f', 1, 64)
		}
		return text
	case time.Time:
		return v.Format(time.RFC3339)
	}
	return fmt.Sprint(v)
}

func emitINI(tree sops.TreeBranch) ([]byte, error) {
	file := ini.Empty(ini.LoadOptions{AllowNonUniqueSections: true})
	file.DeleteSection(ini.DefaultSection)
	for _, item := range tree {
		name, ok := item.Key.(string)
		if !ok {
			continue // a comment
		}
		branch, ok := item.Value.(sops.TreeBranch)
		if !ok {
			return nil, fmt.Errorf("%s: an INI file has only sections at its top level", name)
		}
		section, err := file.NewSection(name)
		if err == nil {
			err = fillSection(section, branch)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: not a section of an INI file", name)
		}
	}
	var out bytes.Buffer
	_, err := file.WriteTo(&out)
	return out.Bytes(), err
}

// fillSection adds the keys of a section. The first comment is the section's; each other one is of the key before.
func fillSection(section *ini.Section, branch sops.TreeBranch) error {
	var last *ini.Key
	for i, item := range branch {
		if comment, ok := item.Key.(sops.Comment); ok {
			if i == 0 {
				section.Comment = comment.Value
			} else if last != nil {
				last.Comment = comment.Value
			}
			continue
		}
		var err error
		if last, err = section.NewKey(item.Key.(string), plainText(item.Value)); err != nil {
			return err
		}
	}
	return nil
}

// emitJSON returns a value as JSON with its keys in order, without comments.
func emitJSON(v any) ([]byte, error) {
	var flat bytes.Buffer
	if err := writeJSON(&flat, v); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, flat.Bytes(), "", "\t"); err != nil {
		return nil, errors.New("the decrypted content cannot be written as JSON")
	}
	return append(out.Bytes(), '\n'), nil
}

func writeJSON(out *bytes.Buffer, v any) error {
	switch v := v.(type) {
	case sops.TreeBranch:
		return writeBranch(out, v)
	case []any:
		return writeList(out, v)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return errors.New("a value that JSON cannot hold")
	}
	out.Write(text)
	return nil
}

func writeList(out *bytes.Buffer, list []any) error {
	separator := ""
	out.WriteByte('[')
	for _, item := range list {
		if _, isComment := item.(sops.Comment); isComment {
			continue
		}
		out.WriteString(separator)
		separator = ","
		if err := writeJSON(out, item); err != nil {
			return err
		}
	}
	out.WriteByte(']')
	return nil
}

func writeBranch(out *bytes.Buffer, branch sops.TreeBranch) error {
	separator := ""
	out.WriteByte('{')
	for _, item := range branch {
		key, ok := item.Key.(string)
		if !ok {
			continue // a comment
		}
		out.WriteString(separator)
		separator = ","
		if err := writeJSON(out, key); err != nil {
			return err
		}
		out.WriteByte(':')
		if err := writeJSON(out, item.Value); err != nil {
			return err
		}
	}
	out.WriteByte('}')
	return nil
}

// yamlIndent is the number of spaces by which SOPS indents.
const yamlIndent = 4

func emitYAML(docs []document) ([]byte, error) {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(yamlIndent)
	for _, doc := range docs {
		node := &yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{branchNode(doc.tree)}}
		if err := encoder.Encode(node); err != nil {
			return nil, errors.New("the decrypted content cannot be written as YAML")
		}
	}
	if err := encoder.Close(); err != nil {
		return nil, errors.New("the decrypted content cannot be written as YAML")
	}
	return out.Bytes(), nil
}

func yamlNode(v any) *yaml.Node {
	switch v := v.(type) {
	case sops.TreeBranch:
		return branchNode(v)
	case []any:
		return listNode(v)
	case string:
		if utf8.ValidString(v) && v != "<<" {
			return textNode(v)
		}
	case int:
		return scalarNode("!!int", strconv.Itoa(v))
	case bool:
		return scalarNode("!!bool", strconv.FormatBool(v))
	case nil:
		return scalarNode("!!null", "null")
	}
	node := &yaml.Node{}
	if node.Encode(v) != nil {
		panic("not a value of YAML") // see emit
	}
	return node
}

func scalarNode(tag, value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}
}

// numberOfOld matches numbers to the base of 60, which older YAML had.
var numberOfOld = regexp.MustCompile(`^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$`)

// textNode returns the same node as Node.Encode for a text of UTF-8, with the quotes of the encoder, but without the
// 128 KiB of memory that Node.Encode takes for each value.
func textNode(text string) *yaml.Node {
	node := scalarNode("!!str", text)
	switch {
	case strings.Contains(text, "\n"):
		node.Style = yaml.LiteralStyle
	case (&yaml.Node{Kind: yaml.ScalarNode, Value: text}).ShortTag() != "!!str", isOldBoolean(text),
		numberOfOld.MatchString(text):
		node.Style = yaml.DoubleQuotedStyle
	}
	return node
}

// isOldBoolean reports whether older YAML took a text for a boolean.
func isOldBoolean(text string) bool {
	switch text {
	case "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF":
		return true
	}
	return false
}

// pending are comments that wait for the node to which they belong.
type pending struct{ above, beside []string }

func (p *pending) add(c sops.Comment) {
	if c.Inline {
		p.beside = append(p.beside, c.Value)
	} else {
		p.above = append(p.above, c.Value)
	}
}

// flush writes comments to one of a node's comments and forgets them.
func flush(comments *[]string, to *string, separator bool) {
	if len(*comments) == 0 {
		return
	}
	text := "#" + strings.Join(*comments, "\n#")
	if separator && *to != "" {
		text = *to + "\n" + text
	}
	*to, *comments = text, nil
}

func branchNode(branch sops.TreeBranch) *yaml.Node {
	node := &yaml.Node{Kind: yaml.MappingNode}
	var p pending
	for _, item := range branch {
		if comment, ok := item.Key.(sops.Comment); ok {
			p.add(comment)
			continue
		}
		if len(node.Content) == 0 {
			flush(&p.above, &node.HeadComment, false)
		}
		key, value := yamlNode(item.Key), yamlNode(item.Value)
		flush(&p.above, &key.HeadComment, false)
		flush(&p.beside, &value.LineComment, true)
		node.Content = append(node.Content, key, value)
	}
	p.end(node, len(node.Content)-2)
	return node
}

func listNode(list []any) *yaml.Node {
	node := &yaml.Node{Kind: yaml.SequenceNode}
	var p pending
	for _, v := range list {
		if comment, ok := v.(sops.Comment); ok {
			p.add(comment)
			continue
		}
		if len(node.Content) == 0 {
			flush(&p.above, &node.HeadComment, false)
		}
		item := yamlNode(v)
		if len(p.above) > 0 && item.HeadComment != "" {
			p.above = append(p.above, strings.TrimPrefix(item.HeadComment, "#"))
		}
		flush(&p.above, &item.HeadComment, false)
		flush(&p.beside, &item.LineComment, true)
		node.Content = append(node.Content, item)
	}
	p.end(node, len(node.Content)-1)
	return node
}

// end writes the comments after the last item: below the node at index last, or above the whole node if it has no
// items.
func (p *pending) end(node *yaml.Node, last int) {
	rest := append(p.above, p.beside...)
	if last < 0 {
		flush(&rest, &node.HeadComment, false)
		return
	}
	flush(&rest, &node.Content[last].FootComment, true)
}
