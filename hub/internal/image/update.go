package image

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// token is in every marker. Files without it are not read further.
const token = `"$imagepolicy"`

// Policies are the ImagePolicies of one namespace, by name. Markers may name only these.
type Policies struct {
	Namespace string
	ByName    map[string]Policy
}

// Policy is an ImagePolicy.
type Policy struct {
	Image   Reference // without a name: the policy has not chosen one yet
	Ignored bool      // markers that name the policy are for somebody else
}

// Updated is the result of an Update.
type Updated struct {
	Content  []byte // the content itself if there are no Changes
	Changes  []Change
	Problems []Problem
	Markers  int // carried out or not
}

// Change is a scalar that got a new value.
type Change struct {
	Line     int
	Object   Object // the object of the scalar
	Old, New string
	Setter   string // the text of the marker: namespace:name:tag
}

// Problem is a marker that could not be carried out. Its value stays as it is.
type Problem struct {
	Line    int
	Message string
}

// String returns "line 3: message".
func (p Problem) String() string { return fmt.Sprintf("line %d: %s", p.Line, p.Message) }

// updatable matches the paths of files with markers.
var updatable = regexp.MustCompile(`(\.ya?ml|^Kustomization|/Kustomization)$`)

// Updatable reports whether markers in a file are carried out, by its path with slashes.
func Updatable(file string) bool {
	return updatable.MatchString(file) && !slices.Contains(strings.Split(file, "/"), ".git")
}

// maxMarked is how many bytes a file with a marker may have. Its documents take some fifty times as many in memory.
const maxMarked = 8 << 20

// tokens16 are the token in UTF-16, by the mark at the beginning of such a file. YAML may be written so.
var tokens16 = map[string][]byte{"\xff\xfe": []byte(token16), "\xfe\xff": []byte("\x00" + token16)}

// token16 is the token in UTF-16, little endian.
var token16 = strings.Join(strings.Split(token, ""), "\x00")

// Marked reports whether a file may have markers, or what looks like one. Update leaves all others as they are.
func Marked(content []byte) bool { return hasToken(content) || nearMarker.Match(content) }

// hasToken reports whether a file may have markers.
func hasToken(content []byte) bool {
	return bytes.Contains(content, []byte(token)) || isMarked16(content)
}

// isMarked16 reports whether a file in UTF-16 may have markers.
func isMarked16(content []byte) bool {
	wanted := tokens16[string(content[:min(2, len(content))])]
	return wanted != nil && bytes.Contains(content, wanted)
}

// Update replaces each scalar that a marker names a policy for by what the policy chose. Every other byte stays. Each
// line with the token of a marker is carried out, up to date, of an ignored policy, commented out, or a Problem. So is
// each line with a comment that looks like a marker.
func Update(content []byte, policies Policies) Updated {
	updated := update(content, policies)
	updated.Problems = append(updated.Problems, nearMarkers(content)...)
	slices.SortStableFunc(updated.Problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return updated
}

// update is Update without the comments that look like a marker.
func update(content []byte, policies Policies) Updated {
	unchanged := Updated{Content: content}
	if !hasToken(content) {
		return unchanged
	}
	f, problem := read(content)
	if problem != nil {
		unchanged.Problems, unchanged.Markers = []Problem{*problem}, 1
		return unchanged
	}
	updated := Updated{Content: content}
	edits := map[*yaml.Node]string{}
	var spliced []byte
	last := 0
	for _, m := range f.marked() {
		updated.Markers++
		text, change, err := f.edit(m, policies)
		if err != nil {
			updated.Problems = append(updated.Problems, Problem{m.line, err.Error()})
		}
		if change == nil {
			continue
		}
		updated.Changes = append(updated.Changes, *change)
		edits[m.node] = change.New
		spliced = append(append(spliced, content[last:m.start]...), text...)
		last = m.end
	}
	if len(edits) == 0 {
		return updated
	}
	updated.Content = append(spliced, content[last:]...)
	if !f.changedOnly(updated.Content, edits) {
		unchanged.Markers = updated.Markers
		unchanged.Problems = append(updated.Problems, Problem{updated.Changes[0].Line,
			"the file stays as it is, because more than the marked values would change: write them on lines of their own"})
		return unchanged
	}
	return updated
}

// edit returns the text that replaces a marked scalar, and the change that this is; nil if there is none.
func (f *file) edit(m marked, policies Policies) (text string, change *Change, err error) {
	if m.err != nil {
		return "", nil, m.err
	}
	value, err := policies.value(m.setter)
	if err != nil || value == "" {
		return "", nil, err
	}
	if err := f.writable(m.node); err != nil {
		return "", nil, err
	}
	if m.node.Value == value && m.node.ShortTag() == "!!str" {
		return "", nil, nil
	}
	text, err = scalarText(value, m.node.Style)
	if err != nil {
		return "", nil, err
	}
	return text, &Change{m.line, objectOf(m.object), m.node.Value, value, m.setter}, nil
}

// value returns what a setter sets. It is empty for an ignored policy.
func (p Policies) value(setter string) (string, error) {
	parts := strings.Split(setter, ":")
	if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
		return "", fmt.Errorf("the marker names %q: want namespace:name, and :tag, :name or :digest behind", setter)
	}
	namespace, name := parts[0], parts[1]
	if namespace != p.Namespace {
		return "", fmt.Errorf("the marker names the ImagePolicy %s/%s, and the ImageUpdateAutomation is in the namespace "+
			"%s: only policies of its own namespace are set", namespace, name, p.Namespace)
	}
	policy, ok := p.ByName[name]
	switch {
	case !ok:
		return "", fmt.Errorf("the ImagePolicy %s/%s of the marker does not exist", namespace, name)
	case policy.Ignored:
		return "", nil
	case policy.Image.Name == "":
		return "", fmt.Errorf("the ImagePolicy %s/%s has not chosen an image yet", namespace, name)
	case len(parts) == 2:
		return policy.Image.String(), nil
	}
	return policy.part(parts[2], namespace+"/"+name)
}

// part returns the part of the image that a setter names.
func (p Policy) part(part, name string) (string, error) {
	switch part {
	case "tag":
		return p.Image.Tag, nil
	case "name":
		return p.Image.Name, nil
	case "digest":
		if p.Image.Digest == "" {
			return "", fmt.Errorf("the ImagePolicy %s has no digest: set its digestReflectionPolicy to IfNotPresent or Always",
				name)
		}
		return p.Image.Digest, nil
	}
	return "", fmt.Errorf("the marker names the part %q: want tag, name or digest", part)
}

// scalarText returns a value as YAML: in the quotes of the style, or in double quotes if it were no text without.
func scalarText(value string, style yaml.Style) (string, error) {
	for _, c := range []byte(value) {
		if c <= ' ' || c > '~' || strings.IndexByte(`"'\`, c) >= 0 {
			return "", fmt.Errorf("%q is no image", value)
		}
	}
	switch {
	case style&yaml.DoubleQuotedStyle != 0:
		return `"` + value + `"`, nil
	case style&yaml.SingleQuotedStyle != 0:
		return `'` + value + `'`, nil
	}
	if plain, err := yaml.Marshal(value); err != nil || string(plain) != value+"\n" {
		return `"` + value + `"`, nil
	}
	return value, nil
}
