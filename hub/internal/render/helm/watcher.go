package helm

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"text/template/parse"
	"time"
)

// A function of a template may depend on the content of a sealed value and still give the same for all placeholders:
// eq, replace, splitList. So a watcher notes the calls that get a placeholder, and the chart is rendered with another
// result of each.

// keeping are functions that are not watched: what they do with a text does not depend on the text, or two renders with
// other placeholders show that it does.
var keeping = wordSet(`
	and or not call print println
	all any coalesce compact default deepCopy empty fail mustCompact mustDeepCopy required ternary
	cat indent nindent quote repeat squote toString toStrings trim
	b64enc toJson toPrettyJson toRawJson mustToJson mustToPrettyJson mustToRawJson toYaml toYamlPretty toToml
	append chunk concat first initial join last list mustAppend mustChunk mustFirst mustInitial mustLast mustPrepend
	mustPush mustRest mustReverse mustSlice prepend push rest reverse slice tuple
	keys merge mergeOverwrite mustMerge mustMergeOverwrite values
	kindIs kindOf typeIs typeIsLike typeOf hello now unixEpoch
	bcrypt encryptAES htpasswd randAlpha randAlphaNum randAscii randBytes randInt randNumeric uuidv4
	getHostByName include lookup tpl`)

// comparing are functions that look into maps and lists, too.
var comparing = wordSet(`eq ne lt le gt ge contains deepEqual has hasPrefix hasSuffix mustHas mustRegexMatch regexMatch
	semverCompare urlJoin`)

// opaque are functions that make something of a text in which no placeholder shows.
var opaque = wordSet(`fromJson fromJsonArray fromToml fromYaml fromYamlArray buildCustomCert genCA genCAWithKey
	genPrivateKey genSelfSignedCert genSelfSignedCertWithKey genSignedCert genSignedCertWithKey mustToDate shuffle toDate`)

// passing are functions that return a text of letters and digits as it is, unless the text is too long.
var passing = wordSet(`urlquery html js trunc abbrev nospace`)

func wordSet(words string) map[string]bool {
	set := map[string]bool{}
	for word := range strings.FieldsSeq(words) {
		set[word] = true
	}
	return set
}

// looksAt returns those of the arguments of a function that the result depends on: of functions that find something in
// a map by its key, the keys.
func looksAt(function string, args []any) []any {
	from, to := 0, len(args)
	switch function {
	case "index", "omit", "pick":
		from = 1
	case "get", "hasKey", "set", "unset":
		from, to = 1, 2
	case "printf", "pluck":
		to = 1
	case "dig":
		to -= 2
	case "dict":
		var keys []any
		for i := 0; i < len(args); i += 2 {
			keys = append(keys, args[i])
		}
		return keys
	}
	to = max(0, min(to, len(args)))
	return args[min(from, to):to]
}

// call is a place in a template that calls a function with a placeholder.
type call struct {
	file     int // -1: a text for tpl
	at       int
	function string
	// text stands for the sealed value.
	text string
}

// watcher watches the calls of functions in one render, and changes the results of some.
type watcher struct {
	stands map[string]string // texts that stand for placeholders, by what of them is found
	found  *regexp.Regexp    // matches the keys of stands
	// With lengths, the length of a text is a number that is found, too.
	lengths bool
	turned  map[string]bool // the places whose results are changed
	places  map[string]call
	// plain has the texts that stand for generated values of letters and digits.
	plain  map[string]bool
	seen   map[string]call // the places that saw a placeholder
	opaque *call           // the first that made something opaque of a placeholder
	failed *call           // the last that failed with a placeholder
}

// lengthFound is what a watcher with lengths returns for the length of a placeholder.
const lengthFound = 100_003

// newWatcher returns a watcher of renders in which texts stand for the placeholders.
func newWatcher(texts pairs, turned map[string]bool, lengths bool) *watcher {
	w := &watcher{stands: map[string]string{}, lengths: lengths, turned: turned, places: map[string]call{},
		seen: map[string]call{}}
	for _, text := range texts {
		w.stands[text] = text
		w.stands[base64.StdEncoding.EncodeToString([]byte(text[:len(text)/3*3]))] = text
	}
	w.compile()
	return w
}

// compile makes found match the keys of stands, longer ones first.
func (w *watcher) compile() {
	var all []string
	for text := range w.stands {
		all = append(all, regexp.QuoteMeta(text))
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	w.found = regexp.MustCompile(strings.Join(all, "|"))
}

// rewrite returns an input whose templates let the watcher call the functions.
func (w *watcher) rewrite(in Input) Input {
	in.Files = slices.Clone(in.Files)
	for i, f := range in.Files {
		if isTemplate(f) {
			in.Files[i].Data = []byte(w.template(string(f.Data), i))
		}
	}
	in.watch = w
	return in.withTexts(func(text string) string { return w.template(text, -1) })
}

// template returns a template in which the watcher calls the functions.
func (w *watcher) template(text string, file int) string {
	calls := map[*parse.IdentifierNode]string{}
	eachNode(text, func(n parse.Node) {
		name, ok := n.(*parse.IdentifierNode)
		if !ok || !canCall(name.Ident) {
			return
		}
		place := fmt.Sprintf("%d:%d", file, name.Pos)
		if file < 0 {
			hash := fnv.New64a()
			_, _ = hash.Write([]byte(text))
			place = fmt.Sprintf("%x:%d", hash.Sum64(), name.Pos)
		}
		w.places[place] = call{file: file, at: int(name.Pos), function: name.Ident}
		calls[name] = fmt.Sprintf("%sCall %q %q", callsObject, place, name.Ident)
	})
	return replaceCallsIn(text, calls)
}

// call calls a function, and notes whether it gets a placeholder.
func (w *watcher) call(place, function string, args []any) (any, error) {
	text := w.textIn(function, looksAt(function, args))
	result, err := callFunction(function, args)
	if text == "" || w.plain[text] && passing[function] && result == text {
		return result, err
	}
	c := w.places[place]
	c.text = text
	if err != nil {
		w.failed = &c
		return nil, err
	}
	w.seen[place] = c
	if opaque[function] && w.opaque == nil {
		w.opaque = &c
	}
	if function == "len" && w.lengths {
		result = lengthFound
	}
	w.follow(result, text)
	if w.turned[place] {
		return turn(result), nil
	}
	return result, nil
}

// textIn returns the text that stands for a placeholder and that a function gets; empty if there is none. A comparison
// with an empty text or with nothing is none.
func (w *watcher) textIn(function string, args []any) string {
	if comparing[function] {
		if slices.Contains(args, any("")) || slices.Contains(args, nil) {
			return ""
		}
		data, _ := json.Marshal(args)
		return w.stands[w.found.FindString(string(data))]
	}
	for _, arg := range args {
		switch v := reflect.ValueOf(arg); v.Kind() {
		case reflect.Map, reflect.Struct, reflect.Func, reflect.Invalid:
			continue
		}
		text := fmt.Sprint(arg)
		found := w.found.FindString(text)
		if found == "" || strings.HasPrefix(function, "from") && strings.TrimSpace(text) != found {
			continue // a text of which the value is one part stays readable
		}
		if strings.HasPrefix(function, "trim") && isBlank(args[0]) {
			continue // as trim
		}
		return w.stands[found]
	}
	return ""
}

// follow makes a result one of the texts that are found, unless it is too short to be told from others.
func (w *watcher) follow(result any, text string) {
	made := ""
	switch result := result.(type) {
	case string:
		made = result
	case int:
		if w.lengths && result == lengthFound {
			made = fmt.Sprint(result)
		}
	}
	if len(made) < 6 || w.found.MatchString(made) {
		return
	}
	w.stands[made] = text
	w.compile()
}

func isBlank(v any) bool {
	text, ok := v.(string)
	return ok && strings.TrimSpace(text) == ""
}

// turn returns another value of the same type, if there is one.
func turn(v any) any {
	of := reflect.ValueOf(v)
	switch {
	case v == nil:
		return "~"
	case of.Kind() == reflect.Bool:
		return !of.Bool()
	case of.Kind() == reflect.String:
		return of.String() + "~"
	case of.CanInt():
		return reflect.ValueOf(of.Int() + 1).Convert(of.Type()).Interface()
	case of.CanFloat():
		return reflect.ValueOf(of.Float() + 1).Convert(of.Type()).Interface()
	case of.Kind() == reflect.Slice:
		return turnList(of)
	case of.Kind() == reflect.Map:
		out := map[string]any{"~": "~"}
		for key, value := range of.Seq2() {
			out[key.String()] = turn(value.Interface())
		}
		return out
	}
	if t, ok := v.(time.Time); ok {
		return t.Add(30000 * time.Hour)
	}
	return v
}

func turnList(of reflect.Value) any {
	out := []any{}
	for i := range of.Len() {
		out = append(out, turn(of.Index(i).Interface()))
	}
	if of.Type().Elem().Kind() != reflect.String {
		return append(out, "~")
	}
	texts := []string{}
	for _, text := range out {
		texts = append(texts, text.(string))
	}
	return append(texts, "~")
}
