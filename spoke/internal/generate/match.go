package generate

import (
	"strings"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/sealed"
)

// shortestPrefix is how many characters before a value find it, if the rest of its line is another one.
const shortestPrefix = 3

// values returns the values that a text of the cluster has where a desired text has placeholders of recipes. If the
// texts differ in more, the lines are compared, and then what is before a value on its line.
func (s *Search) values(desired, live string) map[sealed.Placeholder]string {
	if found := s.match(desired, live); found != nil {
		return found
	}
	found := map[sealed.Placeholder]string{}
	for line := range strings.SplitSeq(desired, "\n") {
		if len(sealed.Find(line)) == 0 {
			continue
		}
		for other := range strings.SplitSeq(live, "\n") {
			values := s.match(line, other)
			if values == nil {
				values = s.matchBegin(line, other)
			}
			for p, value := range values {
				if found[p] == "" {
					found[p] = value
				}
			}
			if values != nil {
				break
			}
		}
	}
	return found
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
		if has {
			end = strings.Index(live, following)
			if following == "" {
				return nil // nobody knows where the one ends and the other begins
			}
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
