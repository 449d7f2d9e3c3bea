package image

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
)

// groupName matches the names of groups in a text for Extract, as regexp.Expand reads them.
var groupName = regexp.MustCompile(`\$(?:\$|([0-9A-Za-z_]+)|\{([0-9A-Za-z_]+)\})`)

// checkExtract returns an error if extract names a group that the pattern does not have: the group would be empty text
// for every tag.
func checkExtract(pattern *regexp.Regexp, extract string) error {
	for _, match := range groupName.FindAllStringSubmatch(extract, -1) {
		name := match[1] + match[2]
		number, err := strconv.Atoi(name)
		if name == "" || err == nil && number <= pattern.NumSubexp() ||
			err != nil && slices.Contains(pattern.SubexpNames(), name) {
			continue
		}
		return &FieldError{"filterTags.extract", extract, fmt.Errorf("filterTags.pattern %q has no group %q; ${name} ends a "+
			"name before other letters", pattern, name)}
	}
	return nil
}

// Floating returns the only tag that the rule can choose, if the pattern is one literal such as ^latest$ and no
// version. Then a push to the tag changes nothing in Git without the digest of the image.
func (r Rule) Floating() (tag string, floating bool) {
	if r.Pinned != "" {
		return "", false
	}
	tree, err := syntax.Parse(r.Pattern, syntax.Perl)
	if err != nil {
		return "", false
	}
	tree = tree.Simplify()
	if tree.Op != syntax.OpConcat || len(tree.Sub) != 3 || tree.Sub[0].Op != syntax.OpBeginText ||
		tree.Sub[2].Op != syntax.OpEndText {
		return "", false
	}
	middle := tree.Sub[1]
	for middle.Op == syntax.OpCapture {
		middle = middle.Sub[0]
	}
	tag = string(middle.Rune)
	if _, isVersion := version(tag); isVersion || middle.Op != syntax.OpLiteral || middle.Flags&syntax.FoldCase != 0 {
		return "", false
	}
	return tag, true
}
