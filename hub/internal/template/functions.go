package template

import (
	"fmt"
	"regexp"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

// dropped are functions that make keys or hashes, which take long and differ each time, and one that has no limit and
// does what until does.
var dropped = []string{"bcrypt", "htpasswd", "genPrivateKey", "derivePassword", "buildCustomCert", "genCA",
	"genCAWithKey", "genSelfSignedCert", "genSelfSignedCertWithKey", "genSignedCert", "genSignedCertWithKey", "encryptAES",
	"decryptAES", "seq"}

// wide matches a format that makes much of a number.
var wide = regexp.MustCompile(`%[^a-zA-Z%]*([0-9]{4}|\*)`)

// functions are sprig's that depend on nothing but their arguments, and those of text/template that make texts. Those
// that make much of a number are bounded.
func functions() template.FuncMap {
	all := sprig.HermeticTxtFuncMap()
	for _, name := range dropped {
		delete(all, name)
	}
	all["print"], all["println"] = fmt.Sprint, fmt.Sprintln
	all["html"], all["js"], all["urlquery"] = template.HTMLEscaper, template.JSEscaper, template.URLQueryEscaper
	all["printf"] = func(format string, args ...any) (string, error) {
		if wide.MatchString(format) {
			return "", tooMuch("printf: want widths of up to 3 digits")
		}
		return fmt.Sprintf(format, args...), nil
	}
	repeat := all["repeat"].(func(int, string) string)
	all["repeat"] = func(n int, text string) (string, error) {
		if n > maxRepeat || n*len(text) > maxText {
			return "", tooMuch("repeat makes more than %s", textLimit)
		}
		return repeat(n, text), nil
	}
	for _, name := range []string{"indent", "nindent"} {
		indent := all[name].(func(int, string) string)
		all[name] = func(n int, text string) (string, error) {
			if n > maxRepeat || n*(1+strings.Count(text, "\n")) > maxText {
				return "", tooMuch("%s makes more than %s", name, textLimit)
			}
			return indent(n, text), nil
		}
	}
	boundUntil(all)
	return all
}

// boundUntil bounds the functions that make lists of numbers.
func boundUntil(all template.FuncMap) {
	until := all["untilStep"].(func(int, int, int) []int)
	bounded := func(start, stop, step int) ([]int, error) {
		if step == 0 || (float64(stop)-float64(start))/float64(step) > maxRepeat { // integers overflow
			return nil, tooMuch("more than %d steps", maxRepeat)
		}
		return until(start, stop, step), nil
	}
	all["untilStep"] = bounded
	all["until"] = func(n int) ([]int, error) {
		if n < 0 {
			return bounded(0, n, -1)
		}
		return bounded(0, n, 1)
	}
}
