package image

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/navefleet/nave/shared/pattern"
	"github.com/navefleet/nave/shared/wording"
)

// Order says how a Rule compares tags.
type Order string

// The orders, named as the fields of spec.policy of an ImagePolicy.
const (
	Semver       Order = "semver"
	Alphabetical Order = "alphabetical"
	Numerical    Order = "numerical"
)

// Rule chooses one of the tags of an image repository.
type Rule struct {
	// Pattern is a regular expression that a tag must match; empty: all do. If Extract is set, its text, in which $name
	// and $1 stand for groups of the match, is compared in place of the tag.
	Pattern, Extract string
	Order            Order
	Range            string // of versions, for Semver
	Descending       bool   // the lowest tag is chosen; not for Semver
	// Excluded tags, which are sorted, are never chosen. A Pinned tag is always chosen, even an excluded one.
	Excluded []string
	Pinned   string
}

// Choice is the result of a Rule.
type Choice struct {
	Tag string
	// Tied are other tags that the rule does not tell from Tag, sorted. Tag is the last of all of them.
	Tied []string
}

// ErrNoTag is the error if a repository has no tag that a Rule may choose.
var ErrNoTag = errors.New("no tag to choose")

// ErrRule is the error if the fields of a Rule are wrong.
var ErrRule = errors.New("the policy is wrong")

// Choose returns the tag that the rule chooses, for tags in any order. The errors are ErrRule, ErrNoTag, and that a tag
// is not a number.
func (r Rule) Choose(tags []string) (Choice, error) {
	tags = slices.Compact(slices.Sorted(slices.Values(tags)))
	if r.Pinned != "" {
		if _, found := slices.BinarySearch(tags, r.Pinned); !found {
			return Choice{}, fmt.Errorf("%w: the pinned tag %q does not exist; the repository has: %s", ErrNoTag, r.Pinned,
				Similar(tags, r.Pinned))
		}
		return Choice{Tag: r.Pinned}, nil
	}
	c, err := r.compile()
	if err != nil {
		return Choice{}, fmt.Errorf("%w: %w", ErrRule, err)
	}
	best, err := c.best(tags)
	if err != nil {
		return Choice{}, err
	}
	if len(best) == 0 {
		return Choice{}, r.nothing(tags, c)
	}
	last := len(best) - 1
	return Choice{Tag: best[last], Tied: best[:last]}, nil
}

// FieldError is the error of a field of a Rule.
type FieldError struct {
	Field string // below the spec of an ImagePolicy: filterTags.pattern
	Value string
	Cause error
}

// Error returns the field, its value and the cause.
func (e *FieldError) Error() string { return fmt.Sprintf("%s %q: %v", e.Field, e.Value, e.Cause) }

// Unwrap returns the cause.
func (e *FieldError) Unwrap() error { return e.Cause }

// compiled is a Rule whose texts are compiled.
type compiled struct {
	Rule
	pattern    *regexp.Regexp
	constraint *semver.Constraints
}

func (r Rule) compile() (c *compiled, err error) {
	c = &compiled{Rule: r}
	if c.pattern, err = pattern.Compile(r.Pattern); err != nil {
		return nil, &FieldError{"filterTags.pattern", r.Pattern, err}
	}
	switch r.Order {
	case Semver:
		if c.constraint, err = semver.NewConstraint(r.Range); err != nil {
			return nil, &FieldError{"policy.semver.range", r.Range,
				fmt.Errorf("want a version range such as >=1.0.0 <2.0.0: %w", err)}
		}
	case Alphabetical, Numerical:
	default:
		return nil, &FieldError{"policy", string(r.Order), errors.New("want one of semver, alphabetical and numerical")}
	}
	return c, nil
}

// Check returns nil if the rule can be carried out, or else a FieldError.
func (r Rule) Check() error {
	c, err := r.compile()
	if err != nil {
		return err
	}
	return checkExtract(c.pattern, r.Extract)
}

// candidate is a tag and what it is compared by.
type candidate struct {
	tag, text string // text: the tag, or what Extract makes of it
	version   *semver.Version
	number    float64
}

// best returns the best tags, which are equal by the rule, in the order of tags.
func (c *compiled) best(tags []string) (equal []string, err error) {
	var best candidate
	for _, tag := range tags {
		next, ok := c.match(tag)
		if !ok {
			continue
		}
		if ok, err = next.parse(c); err != nil {
			return nil, err
		} else if !ok {
			continue
		}
		order := 1
		if equal != nil {
			order = c.compare(next, best)
		}
		switch {
		case order > 0:
			best, equal = next, []string{tag}
		case order == 0:
			equal = append(equal, tag)
		}
	}
	return equal, nil
}

// match returns the candidate of a tag. It returns false for a tag that is excluded or does not match the pattern.
func (c *compiled) match(tag string) (candidate, bool) {
	if _, excluded := slices.BinarySearch(c.Excluded, tag); excluded {
		return candidate{}, false
	}
	if c.Extract == "" {
		return candidate{tag: tag, text: tag}, c.Pattern == "" || c.pattern.MatchString(tag)
	}
	groups := c.pattern.FindStringSubmatchIndex(tag)
	if groups == nil {
		return candidate{}, false
	}
	return candidate{tag: tag, text: string(c.pattern.ExpandString(nil, c.Extract, tag, groups))}, true
}

// parse reads what the candidate is compared by. It returns false for a tag that is no version in the range.
func (t *candidate) parse(c *compiled) (ok bool, err error) {
	switch c.Order {
	case Semver:
		t.version, ok = version(t.text)
		return ok && c.constraint.Check(t.version), nil
	case Numerical:
		t.number, err = strconv.ParseFloat(t.text, 64)
		if err != nil || math.IsNaN(t.number) || math.IsInf(t.number, 0) {
			return false, t.notANumber(c.Extract)
		}
	}
	return true, nil
}

// notANumber returns the error of a tag that the numerical order cannot compare.
func (t *candidate) notANumber(extract string) error {
	if extract != "" {
		return fmt.Errorf("numerical: filterTags.extract %q makes %q of the tag %q, which is not a number: correct it, or "+
			"let filterTags.pattern leave out the tag", extract, t.text, t.tag)
	}
	return fmt.Errorf("numerical: the tag %q is not a number: let filterTags.pattern leave it out, or name the number in "+
		"the tag by filterTags.extract", t.tag)
}

// version parses a version as Flux does: strict, with or without a v before it.
func version(text string) (*semver.Version, bool) {
	v, err := semver.StrictNewVersion(strings.TrimPrefix(text, "v"))
	return v, err == nil
}

// compare returns a positive number if the rule prefers a to b, and zero if it does not tell them apart.
func (c *compiled) compare(a, b candidate) (order int) {
	switch c.Order {
	case Semver:
		return a.version.Compare(b.version)
	case Numerical:
		order = cmp.Compare(a.number, b.number)
	default:
		order = strings.Compare(a.text, b.text)
	}
	if c.Descending {
		return -order
	}
	return order
}

// maxListed is how many tags an error names.
const maxListed = 10

// nothing returns the error if the rule cannot choose any of the tags, which are sorted.
func (r Rule) nothing(tags []string, c *compiled) error {
	matching := slices.DeleteFunc(slices.Clone(tags), func(tag string) bool { _, ok := c.match(tag); return !ok })
	switch {
	case len(tags) == 0:
		return fmt.Errorf("%w: the repository has no tags", ErrNoTag)
	case len(matching) > 0:
		return fmt.Errorf("%w: no tag is a version in the range %q; versions are complete, such as 1.2.3 or v1.2.3; the "+
			"policy compared: %s", ErrNoTag, r.Range, wording.List(matching, len(matching), maxListed))
	case r.Pattern == "":
		return fmt.Errorf("%w: all tags of the repository are excluded: %s", ErrNoTag,
			wording.List(tags, len(tags), maxListed))
	}
	return fmt.Errorf("%w: no tag that is not excluded matches filterTags.pattern %q; the repository has: %s", ErrNoTag,
		r.Pattern, wording.List(tags, len(tags), maxListed))
}

// maxCompared is how many tags are compared to find similar ones.
const maxCompared = 5000

// Similar lists tags, those that are most like a wrong one first.
func Similar(tags []string, wrong string) string {
	if len(tags) == 0 {
		return "no tag"
	}
	near := slices.Clone(tags[max(0, len(tags)-maxCompared):])
	distance := make(map[string]int, len(near))
	for _, tag := range near {
		distance[tag] = wording.Distance(tag, wrong)
	}
	slices.SortStableFunc(near, func(a, b string) int { return distance[a] - distance[b] })
	return wording.List(near, len(tags), maxListed)
}
