package migrate

import (
	"bytes"
	"io/fs"
	"path"
	"regexp"
	"slices"

	yamlnode "go.yaml.in/yaml/v3"
)

// maxFile is the largest file that is read, in bytes.
const maxFile = 5 << 20

// recipients finds the public names of keys in the metadata of SOPS, in each of its formats: age recipients, OpenPGP
// fingerprints, and the addresses of keys in a cloud or a Vault.
var recipients = []*regexp.Regexp{
	regexp.MustCompile(`\bage1[0-9a-z]{50,80}\b`),
	regexp.MustCompile(`(?:\b|_)fp["']?\s*[:=]\s*["']?([0-9A-F]{16,40})\b`),
	regexp.MustCompile(`\b(arn:aws[a-z-]*:kms:[\w:/-]+)`),
	regexp.MustCompile(`\b(projects/[\w-]+/locations/[\w-]+/keyRings/[\w-]+/cryptoKeys/[\w-]+)`),
	regexp.MustCompile(`\bvault_(?:url|address)["']?\s*[:=]\s*["']?(https?://[^\s"']+)`),
}

// Recipients returns the public names of the keys that a SOPS file is encrypted for, sorted.
func Recipients(file []byte) (names []string) {
	for _, pattern := range recipients {
		for _, found := range pattern.FindAllSubmatch(file, -1) {
			names = append(names, string(found[len(found)-1]))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// FoldedTexts returns the folded texts (>, >-, >+) in the YAML files of a checkout that Flux's library reads with one
// more line break than YAML has. Files that are no YAML are left out.
func FoldedTexts(checkout fs.FS) (all []Folded, err error) {
	err = fs.WalkDir(checkout, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == ".git" {
			return fs.SkipDir
		}
		if !entry.Type().IsRegular() || path.Ext(name) != ".yaml" && path.Ext(name) != ".yml" {
			return nil
		}
		if info, err := entry.Info(); err != nil || info.Size() > maxFile {
			return err
		}
		data, err := fs.ReadFile(checkout, name)
		if err == nil && bytes.ContainsRune(data, '>') {
			all = append(all, foldedIn(name, data)...)
		}
		return err
	})
	return all, err
}

// foldedIn returns the folded texts of one file that change if they are written and read again, as Flux's library does.
func foldedIn(name string, data []byte) (found []Folded) {
	decoder := yamlnode.NewDecoder(bytes.NewReader(data))
	for {
		var document yamlnode.Node
		if decoder.Decode(&document) != nil {
			return found
		}
		object := nameOf(&document)
		var visit func(n *yamlnode.Node)
		visit = func(n *yamlnode.Node) {
			if n.Kind == yamlnode.ScalarNode && n.Style&yamlnode.FoldedStyle != 0 && object != "" && changes(n) {
				found = append(found, Folded{File: name, Line: n.Line, Object: object})
			}
			for _, child := range n.Content {
				visit(child)
			}
		}
		visit(&document)
	}
}

// changes reports whether a text is another one after it was written and read again.
func changes(n *yamlnode.Node) bool {
	text, err := yamlnode.Marshal(map[string]*yamlnode.Node{"text": n})
	if err != nil {
		return false
	}
	var again struct{ Text string }
	return yamlnode.Unmarshal(text, &again) == nil && again.Text != n.Value
}

// nameOf returns "Kind namespace/name" of a document; "" if it is not an object.
func nameOf(document *yamlnode.Node) string {
	var o struct {
		Kind     string
		Metadata struct{ Namespace, Name string }
	}
	if document.Decode(&o) != nil || o.Kind == "" || o.Metadata.Name == "" {
		return ""
	}
	return o.Kind + " " + path.Join(o.Metadata.Namespace, o.Metadata.Name)
}
