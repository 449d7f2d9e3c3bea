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

// values returns the values that a text of the cluster has where a desired text has placeholders of recipes. If the
// texts differ in more, the lines are compared, and then what is before a value on its line. Of lines that are alike,
// the first has the value of the first, and so on, if both texts have as many of them.
func (s *Search) values(desired, live string) map[sealed.Placeholder]string {
	if found := s.match(desired, live); found != nil {
		return found
	}
	found := map[sealed.Placeholder]string{}
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
	if !has {
		return nil
	}
	isWhole := before == "" && after == ""
	live, ok := strings.CutPrefix(live, before)
	for ok && has {
		var following string
		next := p
		following, p, after, has = sealed.Cut(after)
		end := len(live) - len(following)
		switch i, isOurs := s.by[next]; {
		case has && following != "":
			end = strings.Index(live, following)
		case has && isOurs: // another value follows at once
			end = min(lengthOf(s.recipes[i]), len(live))
		case has:
			return nil
		}
		if end <= 0 || !strings.HasPrefix(live[end:], following) {
			return nil
		}
		value := live[:end]
		live = live[end+len(following):]
		i, isOurs := s.by[next]
		switch {
		case !isOurs: // a sealed value
		case found[next] != "" && found[next] != value, !isWhole && !couldBe(s.recipes[i], value):
			return nil
		default:
			found[next] = value
		}
	}
	if !ok {
		return nil
	}
	return found
}

// matchBegin returns the value on a line that begins alike; nil if there is none.
func (s *Search) matchBegin(desired, live string) map[sealed.Placeholder]string {
	before, p, _, _ := sealed.Cut(desired)
	i, isOurs := s.by[p]
	if !isOurs || len(strings.TrimSpace(before)) < shortestPrefix || !strings.HasPrefix(live, before) {
		return nil
	}
	letters := lettersOf(s.recipes[i].Function)
	rest := live[len(before):]
	end := strings.IndexFunc(rest, func(c rune) bool { return !strings.ContainsRune(letters, c) })
	if end < 0 {
		end = len(rest)
	}
	if letters == "" || !couldBe(s.recipes[i], rest[:end]) {
		return nil
	}
	return map[sealed.Placeholder]string{p: rest[:end]}
}

const (
	digits    = "0123456789"
	lowercase = "abcdefghijklmnopqrstuvwxyz"
	uppercase = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	base64Set = lowercase + uppercase + digits + "+/="
)

// lettersOf returns the characters of which the values of a function are; empty if they may have any.
func lettersOf(function string) string {
	switch function {
	case "randAlphaNum":
		return lowercase + uppercase + digits
	case "randAlpha":
		return lowercase + uppercase
	case "randNumeric":
		return digits
	case "randBytes":
		return base64Set
	case "uuidv4":
		return digits + "abcdef-"
	case "sha1sum", "sha256sum", "sha512sum":
		return digits + "abcdef"
	}
	return ""
}

// lengthOf returns the length of the values of a recipe; 0 if they may have any.
func lengthOf(r bundle.Recipe) int {
	switch r.Function {
	case "randAlphaNum", "randAlpha", "randNumeric", "randAscii", "randBytes":
		args, err := r.Read(func(text string) (string, error) { return text, nil })
		if err != nil {
			return 0
		}
		if r.Function == "randBytes" {
			return base64.StdEncoding.EncodedLen(args[0].(int))
		}
		return args[0].(int)
	case "uuidv4":
		return 36
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
func couldBe(r bundle.Recipe, value string) bool {
	letters := lettersOf(r.Function)
	switch {
	case value == "":
		return false
	case letters != "":
		return strings.Trim(value, letters) == "" && strings.IndexFunc(value, func(c rune) bool {
			return !strings.ContainsRune(letters, c)
		}) < 0
	case r.Function == "bcrypt":
		return strings.HasPrefix(value, "$2") && !strings.ContainsAny(value, " \n\"'")
	case r.Function == "htpasswd":
		return strings.Contains(value, ":$2") && !strings.ContainsAny(value, " \n\"'")
	case strings.HasPrefix(r.Function, "gen"):
		return strings.HasPrefix(value, "-----BEGIN ") && strings.Contains(value, "-----END ") &&
			strings.Count(value, "-----BEGIN ") == 1
	case r.Function == "randAscii":
		return true
	}
	return !strings.ContainsAny(value, " \n")
}
