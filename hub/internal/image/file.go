package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// file is a YAML file with its documents.
type file struct {
	content   []byte
	documents []*yaml.Node
	sealed    bool // by SOPS, with a digest over all values
}

// yamlError matches the errors of the parser.
var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

// unparsable returns the problem of a file that the parser refuses.
func unparsable(err error) *Problem {
	p := &Problem{Line: 1, Message: err.Error()}
	if match := yamlError.FindStringSubmatch(p.Message); match != nil {
		p.Message = match[2]
		if line, err := strconv.Atoi(match[1]); err == nil {
			p.Line = line
		}
	}
	p.Message = "the file has a marker and is not YAML: " + p.Message
	return p
}

// read parses a file.
func read(content []byte) (*file, *Problem) {
	switch {
	case isMarked16(content):
		return nil, &Problem{1, "the file has a marker and is in UTF-16: save it in UTF-8"}
	case len(content) > maxMarked:
		return nil, &Problem{1, fmt.Sprintf("the file has a marker and %d MiB: the most is %d; move what is marked to "+
			"another file", len(content)>>20, maxMarked>>20)}
	}
	documents, err := parse(content)
	if err != nil {
		return nil, unparsable(err)
	}
	f := &file{content: content, documents: documents}
	for _, d := range documents {
		f.sealed = f.sealed || isSealed(d)
	}
	return f, nil
}

// parse returns the documents of a file.
func parse(content []byte) (documents []*yaml.Node, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("malformed YAML: %v", cause)
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	for {
		node := new(yaml.Node)
		if err := decoder.Decode(node); errors.Is(err, io.EOF) {
			return documents, nil
		} else if err != nil {
			return nil, err
		}
		documents = append(documents, node)
	}
}

// isSealed reports whether SOPS keeps a digest over all values of a document, also those that are not encrypted.
func isSealed(document *yaml.Node) bool {
	sops := field(root(document), "sops")
	mac, partial := field(sops, "mac"), field(sops, "mac_only_encrypted")
	return mac != nil && (partial == nil || partial.Value != "true")
}

// writable returns the error if a marked scalar must not be replaced.
func (f *file) writable(node *yaml.Node) error {
	switch {
	case strings.HasPrefix(node.Value, "ENC["):
		return errors.New("SOPS encrypted the marked value: leave it out with unencrypted_regex and " +
			"mac_only_encrypted, or move it to another file")
	case f.sealed:
		return errors.New("the file is encrypted by SOPS, and a new value would break its MAC: encrypt it with " +
			"mac_only_encrypted, or move the value to another file")
	case node.Style&yaml.TaggedStyle != 0 && node.ShortTag() != "!!str":
		return fmt.Errorf("the marked value has the tag %s: an image is text", node.Tag)
	}
	return nil
}

// changedOnly reports whether other content has the same documents but for the values of edited scalars.
func (f *file) changedOnly(other []byte, edits map[*yaml.Node]string) bool {
	documents, err := parse(other)
	if err != nil || len(documents) != len(f.documents) {
		return false
	}
	for i, d := range f.documents {
		if !same(d, documents[i], edits) {
			return false
		}
	}
	return true
}

// same reports whether two nodes differ only in the values of edited scalars, which are text.
func same(a, b *yaml.Node, edits map[*yaml.Node]string) bool {
	value, tag, style := a.Value, a.ShortTag(), a.Style
	if edited, ok := edits[a]; ok {
		value, tag, style = edited, "!!str", b.Style
	}
	if a.Kind != b.Kind || value != b.Value || tag != b.ShortTag() || style != b.Style || a.Anchor != b.Anchor ||
		a.Line != b.Line || a.HeadComment != b.HeadComment || a.LineComment != b.LineComment ||
		a.FootComment != b.FootComment || len(a.Content) != len(b.Content) {
		return false
	}
	for i := range a.Content {
		if !same(a.Content[i], b.Content[i], edits) {
			return false
		}
	}
	return true
}
