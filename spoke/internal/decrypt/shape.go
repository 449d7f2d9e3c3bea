package decrypt

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/getsops/sops/v3"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// Limits of a text whose shape is asked for, counted before it is parsed.
const (
	MaxValuesBytes = 512 << 10
	MaxValues      = 4 * sealed.MaxShapeValues
)

var (
	errValuesBytes = fmt.Errorf("the text has more than %d KiB", MaxValuesBytes>>10)
	errValuesCount = fmt.Errorf("the text has more than %d values", MaxValues)
	errValuesYAML  = errors.New("the text is not YAML")
	errValuesMap   = errors.New("the text is not a map in YAML")
	errValuesAlias = fmt.Errorf("aliases stand for more than %d values", maxAliased)
	errValuesSet   = errors.New(`the text has one of , \ { } [ ], which helm --set gives a meaning: ` +
		`set literal: true, or write the values as YAML without a targetPath`)
)

// Values are the values in a text: those of a chart, or one. They have no text form.
type Values struct{ tree any }

// String hides the values from fmt.
func (v Values) String() string { return "[values]" }

// GoString hides the values from fmt.
func (v Values) GoString() string { return v.String() }

// MarshalJSON returns an error, because plaintext must not be stored or sent.
func (v Values) MarshalJSON() ([]byte, error) { return nil, errors.New("values are not marshalled") }

// ReadValues reads a text as Helm and Flux read it. Errors quote nothing of it.
func ReadValues(text string, form bundle.ShapeForm) (v Values, err error) {
	if len(text) > MaxValuesBytes {
		return v, errValuesBytes
	}
	switch form {
	case bundle.ShapeText:
		v.tree = text
	case bundle.ShapeSet:
		v.tree, err = readSet(text)
	default:
		v.tree, err = readYAML([]byte(text))
	}
	return v, err
}

// readYAML reads values as Helm does: through JSON, and null is an empty map.
func readYAML(text []byte) (any, error) {
	if bundle.SealedFileValues(text) > MaxValues {
		return nil, errValuesCount
	}
	if err := checkAliases(text); err != nil {
		return nil, err
	}
	data, err := sigsyaml.YAMLToJSON(text)
	if err != nil {
		return nil, errValuesYAML
	}
	in := json.NewDecoder(bytes.NewReader(data))
	in.UseNumber()
	var tree any
	if in.Decode(&tree) != nil {
		return nil, errValuesYAML
	}
	if tree == nil {
		return map[string]any{}, nil
	}
	if _, isMap := tree.(map[string]any); !isMap {
		return nil, errValuesMap
	}
	return tree, nil
}

// checkAliases refuses aliases that stand for too many values.
func checkAliases(text []byte) error {
	if !bytes.ContainsRune(text, '&') || !bytes.ContainsRune(text, '*') {
		return nil
	}
	var node yaml.Node
	if yaml.Unmarshal(text, &node) != nil {
		return errValuesYAML
	}
	left := maxAliased
	if !countAliased(&node, false, &left) {
		return errValuesAlias
	}
	return nil
}

// countAliased takes the values in aliases from left, and returns false if there are more.
func countAliased(n *yaml.Node, within bool, left *int) bool {
	if within {
		if *left--; *left < 0 {
			return false
		}
	}
	if n.Kind == yaml.AliasNode {
		return countAliased(n.Alias, true, left)
	}
	return !slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return !countAliased(c, within, left) })
}

// readSet reads one value as Flux does for a targetPath: a text in quotes is a text, and any other has the type that
// helm --set gives it.
func readSet(text string) (any, error) {
	quoted := func(quote string) bool { return strings.HasPrefix(text, quote) && strings.HasSuffix(text, quote) }
	isText := quoted(`"`) || quoted(`'`)
	if isText {
		text = strings.Trim(text, `'"`)
	}
	switch {
	case strings.ContainsAny(text, `,\{}[]`):
		return nil, errValuesSet
	case isText:
		return text, nil
	case strings.EqualFold(text, "true"), strings.EqualFold(text, "false"):
		return strings.EqualFold(text, "true"), nil
	case strings.EqualFold(text, "null"):
		return nil, nil
	case text == "0":
		return json.Number(text), nil
	case text != "" && text[0] != '0':
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return json.Number(strconv.FormatInt(i, 10)), nil
		}
	}
	return text, nil
}

// Shape returns the shape of the values. If plain is set, booleans and numbers are revealed. Others are revealed if one
// of the paths in reveal names them; a value that is the whole text has the name of its entry, key.
func (v Values) Shape(key string, plain bool, reveal []string) (sealed.Shape, error) {
	return sealed.NewShape(v.tree, func(path []string, value any) bool {
		if _, isText := value.(string); plain && !isText {
			return true
		}
		if len(path) == 0 {
			path = []string{key}
		}
		return sealed.Reveals(reveal, path)
	})
}

// Find returns the value at a path: map keys, and list indexes in decimal.
func (v Values) Find(path []string) (sealed.Value, bool) {
	at := v.tree
	for _, key := range path {
		switch below := at.(type) {
		case map[string]any:
			at = below[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(below) {
				return sealed.Value{}, false
			}
			at = below[i]
		default:
			return sealed.Value{}, false
		}
	}
	return sealed.ScalarOf(at)
}

// Texts calls each with the texts and numbers among the values. If none were read, Texts returns false.
func (v Values) Texts(each func(string)) bool {
	eachText(v.tree, each)
	return v.tree != nil
}

func eachText(v any, each func(string)) {
	switch v := v.(type) {
	case string:
		each(v)
	case json.Number:
		each(string(v))
	case map[string]any:
		for _, below := range v {
			eachText(below, each)
		}
	case []any:
		for _, below := range v {
			eachText(below, each)
		}
	}
}

// revealsIn returns what the annotation in the documents of a group lists, by document, once they are decrypted. An
// annotation that the MAC does not cover lists nothing: who has no key could have added it.
func (g group) revealsIn(rules sops.Metadata) map[int]string {
	lists := map[int]string{}
	for _, doc := range g {
		list := textAt(doc.tree, "metadata", "annotations", sealed.RevealAnnotation)
		if list != "" && !rules.MACOnlyEncrypted {
			lists[doc.index] = list
		}
	}
	return lists
}

// textAt returns the text at a path of a tree; "" if there is none.
func textAt(at any, path ...string) string {
	for _, key := range path {
		branch, _ := at.(sops.TreeBranch)
		i := slices.IndexFunc(branch, func(item sops.TreeItem) bool { return item.Key == key })
		if i < 0 {
			return ""
		}
		at = branch[i].Value
	}
	text, _ := at.(string)
	return text
}

// Reveals returns what the annotation of an object lists in the document of a placeholder. A file that is used whole
// has no object.
func (p *Plaintext) Reveals(v bundle.SealedValue) string {
	if len(v.Path) == 0 {
		return ""
	}
	return p.reveals[v.Document]
}

// Entry returns the text of an entry of a ConfigMap or Secret, as a cluster would show it, and whether there is one. If
// the entry is malformed, Entry returns false.
func Entry(o *manifest.Object, key string) (string, bool) {
	texts := func(field string) map[string]any {
		entries, _ := o.Object[field].(map[string]any)
		return entries
	}
	if text, ok := texts("stringData")[key].(string); ok && o.GetKind() == "Secret" {
		return text, true
	}
	text, ok := texts("data")[key].(string)
	if !ok || o.GetKind() != "Secret" {
		return text, ok
	}
	decoded, err := base64.StdEncoding.DecodeString(text)
	return string(decoded), err == nil
}
