package image

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
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

// maxFloating is how many tags a pattern may accept at most that are said to be all.
const maxFloating = 8

// Floating returns the tags that the rule can choose, sorted, if the pattern accepts only a few, such as ^latest$ or
// ^(edge|stable)$, and none of them is a version. Then a push to one of them changes nothing in Git without the digest
// of the image. Else Floating returns nil.
func (r Rule) Floating() (tags []string) {
	if r.Pinned != "" {
		return nil
	}
	tree, err := syntax.Parse(r.Pattern, syntax.Perl)
	if err != nil {
		return nil
	}
	for _, text := range textsOf(tree.Simplify()) {
		tag, begins := strings.CutPrefix(text, begin)
		tag, ends := strings.CutSuffix(tag, end)
		if _, isVersion := version(tag); isVersion || tag == "" || !begins || !ends || strings.ContainsAny(tag, begin+end) {
			return nil
		}
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

// begin and end stand for ^ and $ in the texts of a pattern. No tag has them.
const begin, end = "\x02", "\x03"

// textsOf returns all texts that an expression matches; nil: they are more than maxFloating.
func textsOf(e *syntax.Regexp) (texts []string) {
	switch e.Op {
	case syntax.OpEmptyMatch:
		texts = []string{""}
	case syntax.OpBeginText:
		texts = []string{begin}
	case syntax.OpEndText:
		texts = []string{end}
	case syntax.OpLiteral:
		if e.Flags&syntax.FoldCase == 0 {
			texts = []string{string(e.Rune)}
		}
	case syntax.OpCharClass:
		texts = textsOfClass(e.Rune)
	case syntax.OpCapture:
		texts = textsOf(e.Sub[0])
	case syntax.OpQuest:
		texts = anyOf([]string{""}, textsOf(e.Sub[0]))
	case syntax.OpAlternate:
		for i, sub := range e.Sub {
			if more := textsOf(sub); i == 0 {
				texts = more
			} else {
				texts = anyOf(texts, more)
			}
		}
	case syntax.OpConcat:
		texts = []string{""}
		for _, sub := range e.Sub {
			texts = joined(texts, textsOf(sub))
		}
	}
	return texts
}

// textsOfClass returns the letters of a class, which is pairs of the first and the last one of a range.
func textsOfClass(ranges []rune) (texts []string) {
	for i := 0; i < len(ranges); i += 2 {
		for letter := ranges[i]; letter <= ranges[i+1]; letter++ {
			if texts = append(texts, string(letter)); len(texts) > maxFloating {
				return nil
			}
		}
	}
	return texts
}

// anyOf returns the texts of two expressions of which one has to match.
func anyOf(a, b []string) []string {
	if a == nil || b == nil || len(a)+len(b) > maxFloating {
		return nil
	}
	return slices.Concat(a, b)
}

// joined returns the texts of two expressions, one behind the other.
func joined(before, behind []string) (texts []string) {
	if len(before)*len(behind) > maxFloating {
		return nil
	}
	for _, a := range before {
		for _, b := range behind {
			texts = append(texts, a+b)
		}
	}
	return texts
}
