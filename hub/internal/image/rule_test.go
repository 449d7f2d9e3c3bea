package image

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestChoose holds what Flux's policies choose, and by which rule of ours ties are decided.
func TestChoose(t *testing.T) {
	for name, c := range map[string]struct {
		rule Rule
		tags string
		want string // and the tied tags
	}{
		"semver takes the highest version":        {inRange(">=1.0.0"), "1.0.0 1.10.0 1.9.0", "1.10.0"},
		"semver stays in the range":               {inRange("1.x"), "1.0.0 2.0.0 1.2.0", "1.2.0"},
		"semver skips other tags":                 {inRange("*"), "latest 1.0.0 2.0 main-3 1.2.3.4", "1.0.0"},
		"semver knows v":                          {inRange(">=1.0.0"), "v1.2.3 v1.3.0", "v1.3.0"},
		"semver takes no pre-release":             {inRange(">=1.0.0"), "1.0.0 1.1.0-rc.1", "1.0.0"},
		"semver takes a pre-release if asked":     {inRange(">=1.0.0-0"), "1.0.0 1.1.0-rc.1", "1.1.0-rc.1"},
		"semver orders pre-releases":              {inRange("^1.0.0-0"), "1.1.0-rc.10 1.1.0-rc.9", "1.1.0-rc.10"},
		"semver knows OR":                         {inRange("1.0.x || 3.x"), "1.0.1 2.0.0", "1.0.1"},
		"semver compares the extract":             {filtered(inRange("*"), `^(?P<v>.*)-alpine$`, "$v"), "1.0.0-alpine 1.2.0-alpine 1.3.0", "1.2.0-alpine"},
		"semver ties go to the highest text":      {inRange("*"), "v1.0.0 1.0.0", "v1.0.0 tied 1.0.0"},
		"semver ties of extracts":                 {filtered(inRange("*"), `^(.*)-(a|b)$`, "$1"), "1.0.0-b 1.0.0-a 0.9.0-b", "1.0.0-b tied 1.0.0-a"},
		"alphabetical takes the last":             {Rule{Order: Alphabetical}, "b c a", "c"},
		"alphabetical is by bytes":                {Rule{Order: Alphabetical}, "B a", "a"},
		"alphabetical descending takes the first": {Rule{Order: Alphabetical, Descending: true}, "b c a", "a"},
		"alphabetical compares the extract":       {filtered(Rule{Order: Alphabetical}, `^.-(.*)$`, "$1"), "z-1 a-2", "a-2"},
		"alphabetical ties of extracts":           {filtered(Rule{Order: Alphabetical}, `^(\d+)-.$`, "$1"), "2-b 2-a 1-c 2-c", "2-c tied 2-a 2-b"},
		"descending ties go to the highest text":  {filtered(Rule{Order: Alphabetical, Descending: true}, `^(\d)-.$`, "$1"), "1-a 1-b 2-a", "1-b tied 1-a"},
		"numerical takes the highest":             {Rule{Order: Numerical}, "9 10 1.5 -20", "10"},
		"numerical descending takes the lowest":   {Rule{Order: Numerical, Descending: true}, "9 10 1.5", "1.5"},
		"numerical compares the extract":          {filtered(Rule{Order: Numerical}, `^main-[a-f0-9]+-(?P<ts>\d+)$`, "$ts"), "main-ff-9 main-aa-10 dev", "main-aa-10"},
		"numerical ties are equal numbers":        {Rule{Order: Numerical}, "1.0 1 01 0", "1.0 tied 01 1"},
		"a filter finds anywhere":                 {filtered(Rule{Order: Alphabetical}, `rc`, ""), "1-rc-2 1-rc-1 9", "1-rc-2"},
		"an extract may add text":                 {filtered(inRange("*"), `^(\d+)\.(\d+)$`, "$1.$2.0"), "1.9 1.10", "1.10"},
		"an excluded tag is not chosen":           {Rule{Order: Alphabetical, Excluded: []string{"c"}}, "a b c", "b"},
		"an excluded tag may be no number":        {Rule{Order: Numerical, Excluded: []string{"x"}}, "1 x", "1"},
		"a pin wins":                              {Rule{Order: Alphabetical, Pinned: "a", Excluded: []string{"a"}}, "a b", "a"},
		"a tag twice is no tie":                   {Rule{Order: Alphabetical}, "a a", "a"},
	} {
		t.Run(name, func(t *testing.T) {
			tags := strings.Fields(c.tags)
			for range 20 {
				rand.Shuffle(len(tags), func(i, j int) { tags[i], tags[j] = tags[j], tags[i] })
				choice, err := c.rule.Choose(tags)
				got := choice.Tag
				if len(choice.Tied) > 0 {
					got += " tied " + strings.Join(choice.Tied, " ")
				}
				if err != nil || got != c.want {
					t.Fatalf("of %v: %s, %v, want %s", tags, got, err, c.want)
				}
			}
		})
	}
}

func inRange(versions string) Rule { return Rule{Order: Semver, Range: versions} }

func filtered(r Rule, pattern, extract string) Rule {
	r.Pattern, r.Extract = pattern, extract
	return r
}

// TestChooseNothing says why no tag is chosen, and the way out.
func TestChooseNothing(t *testing.T) {
	for name, c := range map[string]struct {
		rule Rule
		tags string
		want string
		is   error
	}{
		"no tags":             {inRange("*"), "", "the repository has no tags", ErrNoTag},
		"no version":          {inRange("*"), "latest 1.2", `no tag is a version in the range "*"; versions are complete, such as 1.2.3 or v1.2.3; the policy compared: 1.2, latest`, ErrNoTag},
		"no match":            {filtered(inRange("*"), "^v", ""), "latest main", `matches filterTags.pattern "^v"; the repository has: latest, main`, ErrNoTag},
		"all excluded":        {Rule{Order: Numerical, Excluded: []string{"1"}}, "1", "all tags of the repository are excluded: 1", ErrNoTag},
		"no number":           {Rule{Order: Numerical}, "2 v1.2", `numerical: the tag "v1.2" is not a number: let filterTags.pattern leave it out, or name the number in the tag by filterTags.extract`, nil},
		"no number extracted": {filtered(Rule{Order: Numerical}, `^b(.+)$`, "$1"), "b1 b1x", `filterTags.extract "$1" makes "1x" of the tag "b1x", which is not a number`, nil},
		"NaN":                 {Rule{Order: Numerical}, "1 nan", `the tag "nan" is not a number`, nil},
		"infinite":            {Rule{Order: Numerical}, "1 Infinity", `the tag "Infinity" is not a number`, nil},
		"too large":           {Rule{Order: Numerical}, "1 1e999", `the tag "1e999" is not a number`, nil},
		"pin does not exist":  {Rule{Order: Alphabetical, Pinned: "1.2.4"}, "main 1.2.3 v9", `the pinned tag "1.2.4" does not exist; the repository has: 1.2.3, `, ErrNoTag},
		"pin of no tags":      {Rule{Order: Alphabetical, Pinned: "1"}, "", "the repository has: no tag", ErrNoTag},
		"range":               {inRange("no"), "1.0.0", `policy.semver.range "no": want a version range such as >=1.0.0 <2.0.0`, ErrRule},
		"pattern":             {filtered(inRange("*"), "(", ""), "1.0.0", "filterTags.pattern \"(\": error parsing regexp: missing closing )", ErrRule},
		"large pattern":       {filtered(inRange("*"), "a{500}", ""), "1.0.0", "the regular expression is too large", ErrRule},
		"order":               {Rule{}, "1.0.0", "want one of semver, alphabetical and numerical", ErrRule},
	} {
		t.Run(name, func(t *testing.T) {
			choice, err := c.rule.Choose(strings.Fields(c.tags))
			if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%+v, %v, want %s", choice, err, c.want)
			}
			if errors.Is(err, ErrRule) != (c.rule.Check() != nil) {
				t.Errorf("Check: %v", c.rule.Check())
			}
		})
	}
}

// TestCheckExtract refuses a group that the pattern does not have.
func TestCheckExtract(t *testing.T) {
	const pattern = `^main-(?P<sha>[a-f0-9]+)-(?P<ts>\d+)$`
	for extract, ok := range map[string]bool{
		"": true, "$ts": true, "${ts}": true, "$2": true, "$0": true, "1.0.$ts": true, "$$ts": true, "cost$": true,
		"$time": false, "$3": false, "$ts_": false, "${ts}_": true, "$1x": false, "${sha}$nope": false,
	} {
		err := filtered(Rule{Order: Numerical}, pattern, extract).Check()
		if (err == nil) != ok {
			t.Errorf("%q: %v", extract, err)
		}
	}
}

// TestFloating finds patterns that can choose only a few tags, of which none is a version.
func TestFloating(t *testing.T) {
	for pattern, want := range map[string]string{
		"^latest$": "latest", "^(main)$": "main", "^(?P<v>stable)$": "stable", `^v1\.2$`: "v1.2", "^x$": "x",
		"": "", "latest": "", "^latest": "", `^1\.2\.3$`: "", `^v1\.2\.3$`: "", "^1.2$": "",
		"(?i)^latest$": "", "(": "", "^$": "", `^.*$`: "",
		"^(latest|main)$": "latest main", "^(?:stable|staging)$": "stable staging", "^edge$|^latest$": "edge latest",
		"^v[12]$": "v1 v2", "^(a|b)-(x|y)$": "a-x a-y b-x b-y", "^latest(-slim)?$": "latest latest-slim",
		"^a{2}$": "aa", "^(latest|latest)$": "latest",
		"^(latest|1.2.3)$": "", "^(latest|v1\\.2\\.3)$": "", "^(latest|main": "", "^latest|main$": "", "latest$|^main$": "",
		"^(a|b+)$": "", "^v[0-9]$": "", "^a*$": "", "^(^latest$)$": "", "^(|latest)$": "",
		"^" + strings.Repeat("(a|bc)", 100) + "$": "", "^(" + strings.Repeat("a|bc|", 1000) + "d)$": "",
	} {
		if got := strings.Join(filtered(Rule{Order: Alphabetical}, pattern, "").Floating(), " "); got != want {
			t.Errorf("%q: %q, want %q", pattern, got, want)
		}
	}
	if tags := (Rule{Pattern: "^latest$", Pinned: "1"}).Floating(); tags != nil {
		t.Error("a pinned tag floats")
	}
}

// TestReference splits an image as registries do, and joins it again.
func TestReference(t *testing.T) {
	for text, want := range map[string]Reference{
		"app": {Name: "app"}, "app:1": {Name: "app", Tag: "1"}, "host:5000/app": {Name: "host:5000/app"},
		"host:5000/app:1": {Name: "host:5000/app", Tag: "1"}, "ghcr.io/o/a:1@sha256:0f": {"ghcr.io/o/a", "1", "sha256:0f"},
		"ghcr.io/o/a@sha256:0f": {Name: "ghcr.io/o/a", Digest: "sha256:0f"}, "": {},
	} {
		if got := ParseReference(text); got != want || got.String() != text {
			t.Errorf("%s: %+v, %s", text, got, got)
		}
	}
}

func BenchmarkChoose(b *testing.B) {
	tags := make([]string, 10_000)
	for i := range tags {
		tags[i] = fmt.Sprintf("main-%07x-%d", i*7919, 1700000000+i*37%9973)
	}
	slices.Sort(tags)
	const pattern = `^main-[a-f0-9]+-(?P<ts>[0-9]+)$`
	for name, rule := range map[string]Rule{
		"numerical":    filtered(Rule{Order: Numerical}, pattern, "$ts"),
		"alphabetical": {Order: Alphabetical},
		"semver":       filtered(inRange(">=1.0.0"), pattern, "1.$ts.0"),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := rule.Choose(tags); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
