package generate

import (
	"crypto/sha1" //nolint:gosec // as templates ask for it
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"strings"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/sealed"
)

// shortestPrefix is how many characters before a value find it, if the rest of its line is another one.
const shortestPrefix = 3

// maxCompared limits how many lines are compared with lines, so that a text cannot keep the spoke busy.
const maxCompared = 1 << 20

// values returns the values that a text of the cluster has where a desired text has placeholders of recipes. If the
// texts differ in more, the lines are compared, and then what is before a value on its line. Of lines that are alike,
// the first has the value of the first, and so on, if both texts have as many of them. Texts of very many lines are not
// compared by lines.
func (s *Search) values(desired, live string) map[sealed.Placeholder]string {
	if found := s.match(desired, live); found != nil {
		return found
	}
	found := map[sealed.Placeholder]string{}
	if strings.Count(desired, sealed.Mark)*(strings.Count(desired, "\n")+strings.Count(live, "\n")) > maxCompared {
		return found
	}
	wanted, lines := strings.Split(desired, "\n"), strings.Split(live, "\n")
	for _, match := range []func(desired, live string) map[sealed.Placeholder]string{s.match, s.matchBegin} {
		for i, line := range wanted {
			if p, has := firstOf(line); !has || found[p] != "" {
				continue
			}
			if other, ok := counterpart(wanted, lines, i, match); ok {
				for p, value := range match(line, other) {
					if found[p] == "" {
						found[p] = value
					}
				}
			}
		}
	}
	return found
}

func firstOf(line string) (sealed.Placeholder, bool) {
	_, p, _, has := sealed.Cut(line)
	return p, has
}

// counterpart returns the live line that stands for the line wanted[i]. There is none if the texts do not have as many
// lines that match.
func counterpart(wanted, lines []string, i int, match func(desired, live string) map[sealed.Placeholder]string) (
	string, bool) {
	alike, place := 0, 0
	for j, line := range wanted {
		if shapeOf(line) == shapeOf(wanted[i]) || match(wanted[i], line) != nil {
			alike++
			if j < i {
				place++
			}
		}
	}
	var matching []string
	for _, line := range lines {
		if match(wanted[i], line) != nil {
			matching = append(matching, line)
		}
	}
	if len(matching) != alike {
		return "", false
	}
	return matching[place], true
}

// shapeOf returns a line without its placeholders.
func shapeOf(line string) string {
	var b strings.Builder
	for has := true; has; {
		var before string
		before, _, line, has = sealed.Cut(line)
		b.WriteString(before)
		b.WriteByte(0)
	}
	return b.String()
}

// match returns the values in a text that is equal otherwise; nil if it is not.
func (s *Search) match(desired, live string) map[sealed.Placeholder]string {
	found := map[sealed.Placeholder]string{}
	before, p, after, has := sealed.Cut(desired)
	live, ok := strings.CutPrefix(live, before)
	if !has || !ok {
		return nil
	}
	isWhole := before == "" && after == ""
	for has {
		next := p
		before, p, after, has = sealed.Cut(after)
		end := s.endOf(next, found[next], live, before, has)
		if end <= 0 || !strings.HasPrefix(live[end:], before) {
			return nil
		}
		value := live[:end]
		live = live[end+len(before):]
		i, isOurs := s.by[next]
		switch {
		case !isOurs: // a sealed value
		case found[next] != "" && found[next] != value, !isWhole && !s.couldBe(i, value):
			return nil
		default:
			found[next] = value
		}
	}
	return found
}

// endOf returns the length of the value of a placeholder at the begin of a text, of which following comes behind the
// value, and then another value if there are more; 0 or less if there is no such value. A value that the text has had
// before has the same length again; one that looks as if its recipe made it is taken whole, also if it has the
// characters that follow.
func (s *Search) endOf(p sealed.Placeholder, before, text, following string, more bool) int {
	ends := []int{len(before)}
	if i, isOurs := s.by[p]; isOurs && before == "" {
		ends = s.madeEnds(i, text)
	}
	for _, end := range ends {
		if end > 0 && end <= len(text) && strings.HasPrefix(text[end:], following) &&
			(more || end+len(following) == len(text)) {
			return end
		}
	}
	switch {
	case !more:
		return len(text) - len(following)
	case following != "":
		return strings.Index(text, following)
	}
	return 0
}

// madeEnds returns the lengths that the value of a recipe at the begin of a text may have if it was made by the recipe.
func (s *Search) madeEnds(i int, text string) []int {
	if isKey(s.recipes[i].Function) {
		const mark = "\n-----END "
		before, label, _ := strings.Cut(text, mark)
		label, _, ended := strings.Cut(label, "-----")
		if !ended {
			return nil
		}
		end := len(before) + len(mark) + len(label) + len("-----")
		return []int{end + 1, end} // with the line break, or without it if the chart left it out
	}
	return []int{s.lengths[i]}
}

// isKey reports whether a function makes keys or certificates.
func isKey(function string) bool { return strings.HasPrefix(function, "gen") }

// matchBegin returns the value on a line that begins alike; nil if there is none.
func (s *Search) matchBegin(desired, live string) map[sealed.Placeholder]string {
	before, p, _, _ := sealed.Cut(desired)
	i, isOurs := s.by[p]
	if !isOurs || len(strings.TrimSpace(before)) < shortestPrefix || !strings.HasPrefix(live, before) {
		return nil
	}
	letters := lettersOf(s.recipes[i].Function)
	rest := live[len(before):]
	value := rest[:len(rest)-len(strings.TrimLeft(rest, letters))]
	if letters == "" || !s.couldBe(i, value) {
		return nil
	}
	return map[sealed.Placeholder]string{p: value}
}

// lettersOf returns the characters of which the values of a function are, if the end of a value can be told by them;
// otherwise it returns an empty text.
func lettersOf(function string) string {
	if function == "randAscii" {
		return "" // quotes and spaces are among them
	}
	return alphabets[function]
}

// bcryptLength is the length of a hash of bcrypt.
const bcryptLength = 60

// lengthsOf returns the lengths of the values of recipes; 0 of one that may have any.
func lengthsOf(recipes []bundle.Recipe, by map[sealed.Placeholder]int) []int {
	lengths := make([]int, len(recipes))
	ofText := func(text string) (length int) {
		for has := true; has; {
			var before string
			var p sealed.Placeholder
			before, p, text, has = sealed.Cut(text)
			i, known := by[p]
			if has && (!known || lengths[i] == 0) {
				return 0
			}
			if length += len(before); has {
				length += lengths[i]
			}
		}
		return length
	}
	for i, r := range recipes {
		if args, err := r.Read(func(text string) (string, error) { return text, nil }); err == nil {
			lengths[i] = lengthOf(r.Function, args, ofText)
		}
	}
	return lengths
}

// lengthOf returns the length of the values of a function; 0 if they may have any.
func lengthOf(function string, args []any, ofText func(string) int) int {
	switch function {
	case "randAlphaNum", "randAlpha", "randNumeric", "randAscii":
		return args[0].(int)
	case "randBytes":
		return base64.StdEncoding.EncodedLen(args[0].(int))
	case "uuidv4":
		return 36
	case "bcrypt":
		return bcryptLength
	case "htpasswd":
		if user := ofText(args[0].(string)); user > 0 {
			return user + len(":") + bcryptLength
		}
	case "lower", "upper":
		return ofText(args[0].(string))
	case "trunc":
		n := args[0].(int)
		return min(max(n, -n), ofText(args[1].(string)))
	case "sha1sum":
		return 2 * sha1.Size
	case "sha256sum":
		return 2 * sha256.Size
	case "sha512sum":
		return 2 * sha512.Size
	}
	return 0
}

// couldBe reports whether a part of a text may be the value of a recipe.
func (s *Search) couldBe(i int, value string) bool {
	r := s.recipes[i]
	letters := lettersOf(r.Function)
	switch {
	case value == "":
		return false
	case letters != "":
		return strings.TrimLeft(value, letters) == ""
	case r.Function == "bcrypt":
		return strings.HasPrefix(value, "$2") && !strings.ContainsAny(value, " \n\"'")
	case r.Function == "htpasswd":
		return strings.Contains(value, ":$2") && !strings.ContainsAny(value, " \n\"'")
	case isKey(r.Function):
		return strings.HasPrefix(value, "-----BEGIN ") && strings.Contains(value, "-----END ") &&
			strings.Count(value, "-----BEGIN ") == 1
	case r.Function == "randAscii", len(value) == s.lengths[i]:
		return true
	}
	return !strings.ContainsAny(value, " \n")
}
