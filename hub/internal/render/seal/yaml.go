package seal

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

const (
	// yamlIndent is the indentation of files that SOPS decrypts, so that a sealed file has the same form.
	yamlIndent = 4
	maxDepth   = 200
	strTag     = "!!str"
	nullTag    = "!!null"
	mergeTag   = "!!merge"
	// commentType is the type of a comment in SOPS.
	commentType = "comment"
)

// sealYAML seals a file of any number of YAML documents. Documents are counted as SOPS counts them, from 0 and with
// the empty ones.
func sealYAML(f *File, data []byte, salt sealed.Salt, use Use) error {
	in := yaml.NewDecoder(bytes.NewReader(data))
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(yamlIndent)
	s := yamlSealer{File: f, salt: salt, use: use}
	for ; ; s.document++ {
		var doc yaml.Node
		if err := in.Decode(&doc); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("%w: %w", render.ErrSealedMalformed, err)
		}
		if err := s.seal(&doc); err != nil {
			return err
		}
		if err := enc.Encode(&doc); err != nil {
			return fmt.Errorf("write document %d: %w", s.document, err)
		}
	}
	if err := enc.Close(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	f.Text = out.Bytes()
	return nil
}

// yamlSealer puts placeholders into the nodes of one file.
type yamlSealer struct {
	*File
	salt     sealed.Salt
	use      Use
	document int
	groups   int    // number of documents with metadata
	mac      string // in the last metadata
}

// seal seals one document. It removes the metadata, or restores it after its siblings were sealed.
func (s *yamlSealer) seal(doc *yaml.Node) error {
	n := root(doc)
	if n != nil && n.Kind != yaml.MappingNode && n.ShortTag() != nullTag {
		return s.errorf(n, nil, "document %d is not a mapping", s.document)
	}
	if s.use.keepMetadata && isDisabled(n) {
		return nil
	}
	var metadata []*yaml.Node
	if i := metadataIndex(n); i >= 0 {
		metadata = slices.Clone(n.Content[i : i+2])
		n.Content = append(n.Content[:i], n.Content[i+2:]...)
		if hasKey(n, metadata[0].Value) {
			return s.errorf(metadata[0], nil, "key %q appears twice; remove one of the two", metadata[0].Value)
		}
	}
	if err := s.walk(doc, nil); err != nil || metadata == nil {
		return err
	}
	mac := ""
	if node := field(metadata[1], "mac"); node != nil {
		mac = node.Value
	}
	s.Parts = s.Parts || s.groups > 0 && mac != s.mac
	s.groups, s.mac = s.groups+1, mac
	if s.use.keepMetadata && mac != "" {
		s.MACs = append(s.MACs, mac)
		n.Content = append(n.Content, metadata...)
	}
	return nil
}

// isDisabled reports whether an annotation of a document disables its decryption.
func isDisabled(doc *yaml.Node) bool {
	value := field(field(field(doc, "metadata"), "annotations"), manifest.DecryptAnnotation)
	return value != nil && value.Kind == yaml.ScalarNode && strings.EqualFold(value.Value, manifest.Disabled)
}

// field returns the value of a key in a mapping. If there is none, field returns nil.
func field(mapping *yaml.Node, key string) *yaml.Node {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

func hasKey(mapping *yaml.Node, key string) bool { return field(mapping, key) != nil }

func (s *yamlSealer) walk(n *yaml.Node, path []string) error {
	dropSealedComments(n)
	if len(path) > maxDepth {
		return s.errorf(n, path, "nested more than %d deep", maxDepth)
	}
	switch n.Kind {
	case yaml.AliasNode:
		return s.alias(n, path)
	case yaml.ScalarNode:
		return s.scalar(n, path)
	case yaml.MappingNode:
		return s.mapping(n, path)
	case yaml.SequenceNode:
		dropSealedElements(n)
	}
	for i, c := range n.Content {
		child := path
		if n.Kind == yaml.SequenceNode {
			child = extend(path, strconv.Itoa(i))
		}
		if err := s.walk(c, child); err != nil {
			return err
		}
	}
	return nil
}

func (s *yamlSealer) mapping(n *yaml.Node, path []string) error {
	seen := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if err := s.key(key, path, seen); err != nil {
			return err
		}
		dropSealedComments(key)
		if err := s.walk(n.Content[i+1], extend(path, key.Value)); err != nil {
			return err
		}
	}
	return nil
}

// key refuses a key that a path cannot name: one that is not a string, and one that occurs twice.
func (s *yamlSealer) key(key *yaml.Node, path []string, seen map[string]bool) error {
	if key.Kind != yaml.ScalarNode || key.ShortTag() != strTag && key.ShortTag() != mergeTag {
		return s.errorf(key, path, "a key is not a string; put it in quotes")
	}
	if seen[key.Value] {
		return s.errorf(key, path, "key %q appears twice; remove one of the two", key.Value)
	}
	seen[key.Value] = true
	return nil
}

// alias refuses an alias of a node with an encrypted value, because SOPS binds a value to its place. Other aliases
// stay.
func (s *yamlSealer) alias(n *yaml.Node, path []string) error {
	if s.holdsLeaf(n.Alias) {
		return s.errorf(n, path, "an alias of an encrypted value; SOPS binds a value to its place, write it out")
	}
	return nil
}

// holdsLeaf reports whether a node has an encrypted value. It does not follow aliases in the node; alias checks these.
func (s *yamlSealer) holdsLeaf(n *yaml.Node) bool {
	return strings.HasPrefix(n.Value, string(leafMark)) || len(sealed.Find(n.Value)) > 0 ||
		slices.ContainsFunc(n.Content, s.holdsLeaf)
}

func (s *yamlSealer) scalar(n *yaml.Node, path []string) error {
	if !strings.HasPrefix(n.Value, string(leafMark)) {
		return nil
	}
	kind := "str" // if SOPS did not write the value, the spoke reports it, for the objects that use it only
	if m := leafPattern.FindStringSubmatch(n.Value); m != nil && m[1] != commentType {
		kind = m[1]
	}
	placeholder := s.salt.Placeholder(n.Value, path)
	s.Values = append(s.Values, bundle.SealedValue{
		Placeholder: string(placeholder), Document: s.document, Path: path, Type: kind,
		Short: isShort(n.Value),
	})
	s.Leaves = append(s.Leaves, n.Value)
	n.Value, n.Tag, n.Style = string(placeholder), strTag, 0
	return nil
}

// isShort reports whether an encrypted leaf is not longer than false and the numbers of ports. SOPS keeps the length.
func isShort(leaf string) bool {
	data, _, _ := strings.Cut(strings.TrimPrefix(leaf, string(leafMark)+"data:"), ",")
	text, err := base64.StdEncoding.DecodeString(data)
	return err != nil || len(text) <= len("false")
}

func (s *yamlSealer) errorf(n *yaml.Node, path []string, format string, args ...any) error {
	place := fmt.Sprintf("line %d", n.Line)
	if len(path) > 0 {
		place += ", " + strings.Join(path, ".")
	}
	return fmt.Errorf("%w: %s: %s", render.ErrSealedMalformed, place, fmt.Sprintf(format, args...))
}

// extend returns path with one more element, never sharing memory with another path.
func extend(path []string, element string) []string {
	return append(path[:len(path):len(path)], element)
}

// dropSealedComments removes the comments that SOPS encrypted; the others stay.
func dropSealedComments(n *yaml.Node) {
	for _, c := range []*string{&n.HeadComment, &n.LineComment, &n.FootComment} {
		if !strings.Contains(*c, string(leafMark)) {
			continue
		}
		var kept []string
		for line := range strings.SplitSeq(*c, "\n") {
			if !strings.Contains(line, string(leafMark)) {
				kept = append(kept, line)
			}
		}
		*c = strings.Join(kept, "\n")
	}
}

// dropSealedElements removes the elements of a list that are encrypted comments: if SOPS encrypts a comment of a list,
// it writes one element more. The decrypted file has a comment there, so these elements do not count as indexes. A
// plain comment at such an element moves to the element after it, or else to the one before.
func dropSealedElements(list *yaml.Node) {
	var kept []*yaml.Node
	var loose []string
	for _, c := range list.Content {
		if isSealedComment(c) {
			loose = append(loose, c.HeadComment, c.LineComment, c.FootComment)
			continue
		}
		c.HeadComment = joinComments(append(loose, c.HeadComment)...)
		kept, loose = append(kept, c), nil
	}
	list.Content = kept
	last := list
	if len(kept) > 0 {
		last = kept[len(kept)-1]
	}
	last.FootComment = joinComments(append([]string{last.FootComment}, loose...)...)
}

// isSealedComment reports whether an element of a list is a comment that SOPS encrypted.
func isSealedComment(n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode {
		return false
	}
	m := leafPattern.FindStringSubmatch(n.Value)
	return m != nil && m[1] == commentType
}

// joinComments puts comments below each other.
func joinComments(comments ...string) string {
	return strings.Join(slices.DeleteFunc(comments, func(c string) bool { return c == "" }), "\n")
}
