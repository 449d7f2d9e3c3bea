package seal

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"

	"go.yaml.in/yaml/v3"

	"github.com/navefleet/nave/shared/bundle"
)

var (
	leafMark     = []byte("ENC[AES256_GCM,")
	metadataMark = []byte("sops")
	// leafPattern matches one encrypted leaf as SOPS writes it; the group is its type.
	leafPattern = regexp.MustCompile(`^ENC\[AES256_GCM,data:[A-Za-z0-9+/=]*,iv:[A-Za-z0-9+/=]+,tag:[A-Za-z0-9+/=]+,` +
		`type:(str|int|float|bool|bytes|time|comment)\]$`)
	anyLeaf    = regexp.MustCompile(`ENC\[AES256_GCM,[A-Za-z0-9+/=:,]+,type:\w+\]`)
	dotenvMark = regexp.MustCompile(`(?m)^sops_mac=`)
	iniMark    = regexp.MustCompile(`(?m)^\[sops\]\s*$`)
	// topLevelMark is the key of the metadata in YAML.
	topLevelMark = regexp.MustCompile(`(?m)^sops:\s*$`)
)

// Detect reports whether data is a SOPS file, and its format. A SOPS file always has an encrypted leaf: its MAC.
func Detect(data []byte) (bundle.Format, bool) {
	if !bytes.Contains(data, leafMark) || !bytes.Contains(data, metadataMark) {
		return "", false
	}
	if text := bytes.TrimLeft(data, " \t\r\n\ufeff"); len(text) > 0 && text[0] == '{' {
		return detectJSON(text)
	}
	switch {
	case dotenvMark.Match(data):
		return bundle.Dotenv, true
	case iniMark.Match(data):
		return bundle.INI, true
	case hasYAMLMetadata(data):
		return bundle.YAML, true
	}
	return "", false
}

// detectJSON returns the format of a file that begins with a brace: SOPS writes a binary file as {"data": "ENC[…]"}.
func detectJSON(data []byte) (bundle.Format, bool) {
	var top map[string]json.RawMessage
	if json.Unmarshal(data, &top) != nil {
		// YAML in flow style begins with a brace as well.
		return bundle.YAML, hasYAMLMetadata(data)
	}
	if _, ok := top["sops"]; !ok {
		return "", false
	}
	if _, ok := top["data"]; ok && len(top) == 2 && bytes.HasPrefix(top["data"], []byte(`"ENC[`)) {
		return bundle.Binary, true
	}
	return bundle.JSON, true
}

// hasYAMLMetadata reports whether a document of the file has SOPS metadata.
func hasYAMLMetadata(data []byte) bool {
	d := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		if err := d.Decode(&doc); err != nil {
			// if a file with SOPS metadata cannot be parsed, it must not count as plain
			return !errors.Is(err, io.EOF) && topLevelMark.Match(data)
		}
		if metadataIndex(root(&doc)) >= 0 {
			return true
		}
	}
}

// root returns the value of a document. If the document is empty, root returns nil.
func root(doc *yaml.Node) *yaml.Node {
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 {
		return nil
	}
	return doc.Content[0]
}

// metadataIndex returns the index of the key of the SOPS metadata in a mapping's content. If there is none,
// metadataIndex returns -1.
func metadataIndex(n *yaml.Node) int {
	if n == nil || n.Kind != yaml.MappingNode {
		return -1
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "sops" && isMetadata(n.Content[i+1]) {
			return i
		}
	}
	return -1
}

// isMetadata reports whether a mapping is SOPS metadata: every version of SOPS writes a MAC or a time.
func isMetadata(n *yaml.Node) bool {
	if n.Kind != yaml.MappingNode {
		return false
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := n.Content[i].Value; k == "mac" || k == "lastmodified" {
			return true
		}
	}
	return false
}

// LeavesIn returns the encrypted leaves in a text.
func LeavesIn(data []byte) []string {
	var leaves []string
	for _, leaf := range anyLeaf.FindAll(data, -1) {
		leaves = append(leaves, string(leaf))
	}
	return leaves
}

// IsLeaf reports whether s is an encrypted leaf as SOPS writes it.
func IsLeaf(s string) bool { return leafPattern.MatchString(s) }
