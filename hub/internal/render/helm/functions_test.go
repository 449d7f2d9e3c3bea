package helm

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/Masterminds/sprig/v3"

	"github.com/navefleet/nave/e2e/helmtest"
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/manifest"
)

// secrets are values that the sealed value of these tests may have.
var secrets = map[string]string{
	"word": "s3cret", "password": "Passw0rd-$/+=_x", "list": "a,b:c/d.e", "number": "8080", "duration": "90m",
	"letter": "x", "version": "1.2.3", "date": "2006-01-02", "url": "https://u:p@h/x?y", "spaces": "two words",
	"boolean": "true", "json": `{"a": 1}`, "quotes": `a"b'<&>`, "padded": " padded ", "lines": "one\ntwo",
	"template": "a{{ .Values.n }}", "percent": "50%d",
}

// The kinds of values for which a kept placeholder and the value give another result: encoded text inside of a text has
// no escapes for the value, white space is not trimmed, and the value is no template.
var (
	encoded = slices.Collect(maps.Keys(secrets))
	padded  = []string{"padded"}
	lines   = []string{"lines", "padded"}
)

// functionRow is what becomes of a sealed value, .p, that a function is given.
type functionRow struct {
	expression string
	keeps      bool     // the placeholder stays whole; else the render is refused
	differs    []string // the secrets with which the result is another one than that of Helm
}

// functionRows has each function that templates have.
var functionRows = map[string]functionRow{}

func init() {
	add := func(keeps bool, expressions string) {
		for line := range strings.Lines(expressions) {
			line = strings.TrimSpace(line)
			if line == "" {
				continue
			}
			name, expression, _ := strings.Cut(line, " ")
			if keeps && !strings.Contains(expression, "}}") && !strings.HasSuffix(expression, "quote") && name != "b64enc" {
				expression += " | quote"
			}
			functionRows[name] = functionRow{expression: expression, keeps: keeps}
		}
	}
	add(true, keptRows)
	add(false, refusedRows)
	for name, differs := range differingRows {
		row := functionRows[name]
		row.differs = differs
		functionRows[name] = row
	}
}

// keptRows are functions with an expression that keeps the placeholder, or that gives the same for all values.
const keptRows = `
	all all .p | quote
	and and 1 .p
	any any 0 .p | quote
	append append (list "a") .p | join " "
	b64enc .p | b64enc
	break range (list 1 2) }}{{ .p | quote }}{{ break }}{{ end
	call "a"
	cat cat "a" .p
	chunk chunk 1 (list .p) | first | first
	coalesce coalesce "" .p
	compact list "" .p | compact | first
	concat concat (list .p) (list "b") | first
	continue range (list 1) }}{{ .p | quote }}{{ continue }}{{ end
	date date "2006-01-02" (toDate "2006" "2007") | quote
	deepCopy (deepCopy (dict "a" .p)).a
	default .p | default "x"
	dict (dict "a" .p).a
	dig dig "a" "b" "" (dict "a" (dict "b" .p))
	empty empty .p | quote
	fail if not .p }}{{ fail "no" }}{{ end
	first first (list .p "a")
	get get (dict "a" .p) "a"
	getHostByName getHostByName .p | quote
	hasKey hasKey (dict "a" .p) "a" | quote
	hello print hello .p
	include include "echo" .p
	indent .p | indent 2 | quote
	index index (dict "a" .p) "a"
	initial initial (list .p "a") | first
	join list "a" .p | join "-"
	keys keys (dict "a" .p) | first
	kindIs kindIs "string" .p | quote
	kindOf kindOf .p
	last last (list "a" .p)
	list list .p | first
	lookup lookup "v1" "Secret" "a" .p | len | quote
	merge (merge (dict "a" .p) (dict "b" 1)).a
	mergeOverwrite (mergeOverwrite (dict "a" 1) (dict "a" .p)).a
	mustAppend mustAppend (list "a") .p | join " "
	mustChunk mustChunk 1 (list .p) | first | first
	mustCompact mustCompact (list "" .p) | first
	mustDeepCopy (mustDeepCopy (dict "a" .p)).a
	mustFirst mustFirst (list .p)
	mustInitial mustInitial (list .p "a") | first
	mustLast mustLast (list .p)
	mustMerge (mustMerge (dict "a" .p) (dict "b" 1)).a
	mustMergeOverwrite (mustMergeOverwrite (dict "a" 1) (dict "a" .p)).a
	mustPrepend mustPrepend (list "a") .p | first
	mustPush mustPush (list "a") .p | last
	mustRest mustRest (list "a" .p) | first
	mustReverse mustReverse (list "a" .p) | first
	mustSlice mustSlice (list "a" .p) 1 | first
	mustToJson dict "a" .p | mustToJson | quote
	mustToPrettyJson dict "a" .p | mustToPrettyJson | quote
	mustToRawJson dict "a" .p | mustToRawJson | quote
	mustToToml dict "a" .p | mustToToml | quote
	mustToYaml dict "a" .p | mustToYaml | quote
	nindent .p | nindent 2 | quote
	not not .p | quote
	now print (now | kindOf) .p
	omit (omit (dict "a" .p "b" 1) "b").a
	or or "" .p
	pick (pick (dict "a" .p "b" 1) "a").a
	pluck pluck "a" (dict "a" .p) | first
	prepend prepend (list "a") .p | first
	print print "a" .p
	printf printf "a %s b" .p
	println println .p
	push push (list "a") .p | last
	quote .p | quote
	randInt print (randInt 1 2) .p
	repeat .p | repeat 2
	required required "no" .p
	rest rest (list "a" .p) | first
	reverse reverse (list "a" .p) | first
	set (set (dict) "a" .p).a
	slice slice (list "a" .p) 1 | first
	squote .p | squote
	ternary ternary .p "b" true
	toJson .p | toJson }}{{ "" | trim
	toPrettyJson .p | toPrettyJson }}{{ "" | trim
	toRawJson .p | toRawJson }}{{ "" | trim
	toString .p | toString
	toStrings toStrings (list .p) | first
	toToml dict "a" .p | toToml | quote
	toYaml .p | toYaml | nindent 4 }}{{ "" | trim
	toYamlPretty .p | toYamlPretty | nindent 4 }}{{ "" | trim
	tpl tpl .p $
	trim .p | trim
	tuple tuple .p | first
	typeIs typeIs "string" .p | quote
	typeIsLike typeIsLike "string" .p | quote
	typeOf typeOf .p
	unixEpoch print (unixEpoch (toDate "2006" "2007")) .p
	unset (unset (dict "a" .p "b" 1) "b").a
	values values (dict "a" .p) | first
`

// refusedRows are functions with an expression that depends on the value.
const refusedRows = `
	abbrev abbrev 200 .p
	abbrevboth abbrevboth 5 200 .p
	add add 1 .p | quote
	add1 add1 .p | quote
	add1f add1f .p | quote
	addf addf 1 .p | quote
	adler32sum adler32sum .p | quote
	ago ago .p
	atoi atoi .p | quote
	b32dec b32dec .p | quote
	b32enc b32enc .p
	b64dec b64dec .p | quote
	base base .p | quote
	bcrypt bcrypt .p | quote
	biggest biggest 200000 (int .p) | quote
	buildCustomCert (buildCustomCert (b64enc .p) "x").Cert
	camelcase camelcase .p
	ceil ceil .p | quote
	clean clean .p | quote
	contains contains "x" .p | quote
	dateInZone dateInZone .p (toDate "2006" "2007") "UTC" | quote
	dateModify dateModify .p (toDate "2006" "2007") | quote
	date_in_zone date_in_zone .p (toDate "2006" "2007") "UTC" | quote
	date_modify date_modify .p (toDate "2006" "2007") | quote
	decryptAES decryptAES "k" .p | quote
	deepEqual deepEqual .p "x" | quote
	derivePassword derivePassword 1 "long" .p "u" "s" | quote
	dir dir .p | quote
	div div 100 (int .p | add 1000000) | quote
	divf divf .p 2 | quote
	duration duration .p
	durationDays durationDays .p | quote
	durationHours durationHours .p | quote
	durationMicroseconds durationMicroseconds .p | quote
	durationMilliseconds durationMilliseconds .p | quote
	durationMinutes durationMinutes .p | quote
	durationNanoseconds durationNanoseconds .p | quote
	durationRound durationRound .p
	durationRoundTo durationRoundTo .p "1m" | quote
	durationSeconds durationSeconds .p | quote
	durationTruncateTo durationTruncateTo .p "1m" | quote
	durationWeeks durationWeeks .p | quote
	encryptAES encryptAES "k" .p | quote
	eq eq .p "s3cret" | quote
	ext ext .p | quote
	float64 float64 .p | quote
	floor floor .p | quote
	fromJson fromJson .p | toJson | quote
	fromJsonArray fromJsonArray .p | toJson | quote
	fromToml fromToml .p | toJson | quote
	fromYaml fromYaml .p | toJson | quote
	fromYamlArray fromYamlArray .p | toJson | quote
	ge ge .p "s" | quote
	genCA (genCA .p 1).Cert | quote
	genCAWithKey (genCAWithKey "a" 1 .p).Cert | quote
	genPrivateKey genPrivateKey .p | quote
	genSelfSignedCert (genSelfSignedCert .p nil nil 1).Cert | quote
	genSelfSignedCertWithKey (genSelfSignedCertWithKey "a" nil nil 1 .p).Cert | quote
	genSignedCert (genSignedCert .p nil nil 1 (genCA "a" 1)).Cert | quote
	genSignedCertWithKey (genSignedCertWithKey "a" nil nil 1 (genCA "a" 1) .p).Cert | quote
	gt gt .p "s" | quote
	has has .p (list "a" "b") | quote
	hasPrefix hasPrefix "s" .p | quote
	hasSuffix hasSuffix "t" .p | quote
	html html .p | quote
	htmlDate (dict "a" (htmlDate now)).a | eq .p | quote
	htmlDateInZone (dict "a" (htmlDateInZone now "UTC")).a | eq .p | quote
	htpasswd htpasswd "u" .p | quote
	initials initials .p
	int int .p | quote
	int64 int64 .p | quote
	isAbs isAbs .p | quote
	js js .p | quote
	kebabcase kebabcase .p
	le le .p "s" | quote
	len len .p | quote
	lower lower .p
	lt lt .p "s" | quote
	max max 200000 (int .p) | quote
	maxf maxf 200000 (float64 .p) | quote
	min min -1 (int .p) | quote
	minf minf -1 (float64 .p) | quote
	mod mod (int .p) 1 | quote
	mul mul 2 .p | quote
	mulf mulf 2 .p | quote
	mustDateModify mustDateModify .p (toDate "2006" "2007") | quote
	mustFromJson mustFromJson .p | toJson | quote
	mustHas mustHas .p (list "a" "b") | quote
	mustRegexFind mustRegexFind "^x" .p | quote
	mustRegexFindAll mustRegexFindAll "," .p -1 | join " " | quote
	mustRegexMatch mustRegexMatch "^x" .p | quote
	mustRegexReplaceAll mustRegexReplaceAll "," .p ";" | quote
	mustRegexReplaceAllLiteral mustRegexReplaceAllLiteral "," .p ";" | quote
	mustRegexSplit mustRegexSplit "," .p -1 | first | quote
	mustToDate mustToDate "2006-01-02" .p | kindOf
	mustToDuration mustToDuration .p | quote
	mustUniq mustUniq (list .p "x") | join " " | quote
	mustWithout mustWithout (list .p "x") "x" | join " " | quote
	must_date_modify must_date_modify .p (toDate "2006" "2007") | quote
	ne ne .p "s3cret" | quote
	nospace nospace .p | quote
	osBase osBase .p | quote
	osClean osClean .p | quote
	osDir osDir .p | quote
	osExt osExt .p | quote
	osIsAbs osIsAbs .p | quote
	plural plural "one" "many" (len .p)
	randAlpha randAlpha (len .p) | len | quote
	randAlphaNum randAlphaNum (len .p) | len | quote
	randAscii randAscii (len .p) | len | quote
	randBytes randBytes (len .p) | len | quote
	randNumeric randNumeric (len .p) | len | quote
	regexFind regexFind "^x" .p | quote
	regexFindAll regexFindAll "," .p -1 | join " " | quote
	regexMatch regexMatch "^x" .p | quote
	regexQuoteMeta regexQuoteMeta .p | quote
	regexReplaceAll regexReplaceAll "," .p ";" | quote
	regexReplaceAllLiteral regexReplaceAllLiteral "," .p ";" | quote
	regexSplit regexSplit "," .p -1 | first | quote
	replace replace "," ";" .p | quote
	round round .p 1 | quote
	semver (semver .p).Major | quote
	semverCompare semverCompare ">1" .p | quote
	seq seq 1 (int .p) | quote
	sha1sum sha1sum .p
	sha256sum sha256sum .p
	sha512sum sha512sum .p
	shuffle shuffle .p | quote
	snakecase snakecase .p
	sortAlpha sortAlpha (list .p "m") | join " " | quote
	split (split "," .p)._0 | quote
	splitList splitList "," .p | first | quote
	splitn (splitn "," 2 .p)._0 | quote
	sub sub .p 1 | quote
	subf subf .p 1 | quote
	substr substr 0 200 .p
	swapcase swapcase .p
	title title .p
	toDate toDate "2006-01-02" .p | kindOf
	toDecimal toDecimal .p | quote
	trimAll trimAll "x" .p | quote
	trimPrefix trimPrefix "s3" .p | quote
	trimSuffix trimSuffix "x" .p | quote
	trimall trimall "x" .p | quote
	trunc trunc 200 .p
	uniq uniq (list .p "x") | join " " | quote
	until until (int .p) | len | quote
	untilStep untilStep 0 (int .p) 1 | len | quote
	untitle untitle .p
	upper upper .p
	urlJoin urlJoin (dict "scheme" "http" "host" .p) | quote
	urlParse (urlParse .p).host | quote
	urlquery urlquery .p
	uuidv4 uuidv4 | eq .p | quote
	without without (list .p "x") "x" | join " " | quote
	wrap wrap 200 .p | quote
	wrapWith wrapWith 200 "-" .p | quote
`

// differingRows are functions whose result may be another one than that of Helm.
var differingRows = map[string][]string{
	"trim": padded, "tpl": {"template"}, "indent": lines, "nindent": lines, "squote": {"lines"},
	"mustToJson": encoded, "mustToPrettyJson": encoded, "mustToRawJson": encoded, "mustToToml": encoded,
	"mustToYaml": encoded, "toToml": encoded,
}

// names returns the names of all functions of templates: those of text/template, sprig and both versions of Helm.
func functionNames() map[string]bool {
	names := wordSet(`and or not call print println printf html js urlquery index len slice eq ne lt le gt ge break continue
		include tpl required fail lookup toYaml toYamlPretty fromYaml fromYamlArray toJson fromJson fromJsonArray toToml
		fromToml`)
	maps.Copy(names, wordSet(strings.Join(slices.Collect(maps.Keys(helm4Calls)), " ")))
	for name := range sprig.TxtFuncMap() {
		names[name] = true
	}
	delete(names, "env")
	delete(names, "expandenv")
	return names
}

// addedFunction matches the name of a function that Helm adds to those of sprig.
var addedFunction = regexp.MustCompile(`(?m)^\t\t"(\w+)":`)

// TestFunctions_complete checks that the table has each function of sprig and of the two versions of Helm once.
func TestFunctions_complete(t *testing.T) {
	names := functionNames()
	for _, major := range []int{3, 4} {
		source, err := os.ReadFile(filepath.Join(helmtest.Module(t, major), "pkg", "engine", "funcs.go"))
		if err != nil {
			t.Fatal(err)
		}
		added := addedFunction.FindAllStringSubmatch(string(source), -1)
		for _, m := range added {
			if !names[m[1]] {
				t.Errorf("Helm %d has %s", major, m[1])
			}
		}
		if len(added) < 10 {
			t.Errorf("Helm %d adds %d functions", major, len(added))
		}
	}
	for name := range names {
		if functionRows[name].expression == "" {
			t.Errorf("no row for %s", name)
		}
	}
	for name := range functionRows {
		if !names[name] {
			t.Errorf("there is no function %s", name)
		}
	}
	if rows := strings.Count(keptRows+refusedRows, "\n") - 2; rows != len(names) {
		t.Errorf("%d rows for %d functions", rows, len(names))
	}
}

// withoutForms takes the digests away that addForms gives to objects.
func withoutForms(results ...*render.Result) {
	for _, r := range results {
		for _, o := range objectsIn(r) {
			annotations := o.GetAnnotations()
			if delete(annotations, manifest.FormAnnotation); len(annotations) == 0 {
				annotations = nil
			}
			o.SetAnnotations(annotations)
		}
	}
}

// TestFunctions gives a sealed value to each function. Either the result is that of Helm after the spoke has put the
// value in, or the render is refused, with template, line, value and annotation.
func TestFunctions(t *testing.T) {
	for name, row := range functionRows {
		t.Run(name, func(t *testing.T) {
			template := `{{ define "echo" }}{{ . }}{{ end }}` +
				configMap("{{ "+strings.ReplaceAll(row.expression, ".p", "$.Values.password")+" }}")
			if name == "b64enc" {
				template = strings.Replace(template, "kind: ConfigMap", "kind: Secret", 1)
			}
			result, err := renderWith(t, template)
			if !row.keeps {
				checkRefused(t, result, err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var differs []string
			for kind, value := range secrets {
				want, err := renderPlain(t, template, value)
				if err != nil {
					continue // Helm refuses the value
				}
				put := replaceAll(result, pairs{password: value})
				withoutForms(want, put) // the value is a part of the text around a generated one
				if fields, err := differences(want, put); err != nil || len(fields) > 0 {
					differs = append(differs, kind)
					if !slices.Contains(row.differs, kind) {
						t.Errorf("%s: %v %v, want %v", kind, err, put.Objects[0].Object["data"], want.Objects[0].Object["data"])
					}
				}
			}
			if len(row.differs) > 0 && len(differs) == 0 {
				t.Error("nothing differs any more")
			}
		})
	}
}

func checkRefused(t *testing.T, result *render.Result, err error) {
	t.Helper()
	const place, value = "templates/b.yaml, line 5, ", "the value password of Secret apps/db; if it is no secret, " +
		"leave it unencrypted, or annotate the Secret with fleet.nave.io/reveal: p"
	switch {
	case err == nil:
		t.Errorf("rendered %v", result.Objects[0].Object["data"])
	case !errors.Is(err, render.ErrInspected), !strings.Contains(err.Error(), place),
		!strings.HasSuffix(err.Error(), value):
		t.Errorf("got %v", err)
	}
}

// renderPlain renders a chart with one more template and a value that is not sealed.
func renderPlain(t *testing.T, template, value string) (*render.Result, error) {
	t.Helper()
	b := newBuild()
	b.Values = json.RawMessage(`{"n": 1}`)
	b.ValuesFrom = []api.ChartValues{{Data: &value, TargetPath: "password", Literal: true}}
	return render1(t, chartTree(t, map[string]string{
		"charts/app/templates/a.yaml": "", "charts/app/templates/hook.yaml": "",
		"charts/app/templates/b.yaml": template,
	}), b)
}

// TestWatcher checks that a rewritten template gives the same where no placeholder is.
func TestWatcher(t *testing.T) {
	const text = `{{- /* eq */ -}}
{{ define "a\"b" -}} {{ if eq . "x" }}1{{ else if contains "2" . }}2{{ else }}3{{ end }} {{- end }}
{{ block "c" .Values }}{{ with .n }}{{ . | eq 1.0 }}{{ else }}no{{ end }}{{ end }}
{{- $last := "" }}{{ range $i, $x := list "a" "b" "c" }}{{ if eq $x "c" }}{{ break }}{{ end }}
{{- if (has $x (list "b" | compact)) }}{{ continue }}{{ end }}{{ $last = print $i $x | quote }}{{ else }}{{ end }}
` + "{{ printf `%s-%q` (ternary \"y\" \"n\" (and (ne $last \"\") (not (hasPrefix \"z\" \"a\")))) \"\\n<&>\" }}" + `
{{ include "a\"b" "x2" }}{{ include "a\"b" "x" }}{{ template "a\"b" (eq "a" "b" | toString) }}
{{ (dict "k" (gt 3 2)).k }} {{ (semverCompare ">=1.2" "1.3.0") }} {{ "now" | regexMatch "^n" }} {{ eq nil nil }}
{{ tpl "{{ eq .n 1.0 }} {{ tpl \"{{ default 2 .n }}\" . }}" .Values | replace "t" "T" }} {{ .Values.no | len }}
{{ index (dict "a" nil) "a" }} {{ get (dict) "a" }} {{ $d := dict }}{{ $_ := set $d "x" 1 }}{{ $d }} {{ round 2.55 1 }}
{{ splitList "," "a,b" | first | upper | trunc 3 | trimSuffix "-" }} {{ (urlParse "http://a/b").host }} {{ add 1 2 }}
{{ "a: [1]" | fromYaml | toJson }} {{ "[" | fromJsonArray }} {{ "a = 1" | fromToml }} {{ seq 1 3 }} {{ html "<" }}`
	w := newWatcher(pairs{"never": "never there"}, nil, true)
	render := func(in Input) string {
		in.Values, in.Capabilities = map[string]any{"n": 1.0, "no": "text"}, DefaultCapabilities()
		out, err := (V3{}).Render(in)
		if err != nil {
			t.Fatalf("%v:\n%s", err, in.Files[1].Data)
		}
		return out.Texts["app/templates/a.yaml"]
	}
	in := Input{Files: []File{{"Chart.yaml", []byte("apiVersion: v2\nname: app\nversion: 1.0.0\n")},
		{"templates/a.yaml", []byte(text)}}}
	if got, want := render(w.rewrite(in)), render(in); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if len(w.places) < 30 || len(w.seen) > 0 {
		t.Errorf("%d places, seen %v", len(w.places), w.seen)
	}
}

// TestTurn checks that another value has the same type.
func TestTurn(t *testing.T) {
	for _, v := range []any{true, "a", 1, int64(1), 1.5, []any{"a", 1}, []string{"a"}, map[string]any{"a": []any{1}},
		map[string]string{"a": "b"}, []int{1}, nil} {
		got := turn(v)
		if reflect.DeepEqual(got, v) || fmt.Sprint(got) == fmt.Sprint(v) {
			t.Errorf("%v became %v", v, got)
		}
	}
}

// TestWatched_texts checks texts that tpl gets: of the release, of the chart, and of its files.
func TestWatched_texts(t *testing.T) {
	const compares = `{{ if eq .Values.password "x" }}1{{ else }}2{{ end }}`
	for name, c := range map[string]struct {
		template string
		refused  bool
	}{
		"values":   {configMap(`{{ tpl .Values.text . | quote }}`), true},
		"raw":      {configMap(`{{ .Values.text | quote }}`), false},
		"empty":    {configMap(`{{ print .Values.text (eq .Values.password "") | quote }}`), false},
		"defaults": {configMap(`{{ tpl .Values.ofChart . | quote }}`), true},
		"file":     {configMap(`{{ tpl (.Files.Get "config.txt") . | quote }}`), true},
		"joined":   {configMap(`{{ tpl (printf "{{ if eq .Values.password %q }}1{{ end }}x" "y") . | quote }}`), true},
		"nested":   {configMap(`{{ tpl "{{ tpl .Values.text . }}" . | quote }}`), true},
		"replaced": {configMap(`{{ tpl "{{ .Values.password | replace \"x\" \"y\" }}" . | quote }}`), true},
		"included": {configMap(`{{ tpl "{{ define \"z\" }}{{ .Values.text }}{{ end }}" . }}{{ tpl (include "text" .) . }}`) +
			`{{ define "text" }}{{ .Values.text }}{{ end }}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBuild()
			text, _ := json.Marshal(map[string]string{"text": compares})
			b.Values = text
			b.ValuesFrom = []api.ChartValues{{Data: &password, TargetPath: "password", Key: "p",
				Input: api.Input{Kind: "Secret", Namespace: "apps", Name: "db"}}}
			_, err := render1(t, chartTree(t, map[string]string{
				"charts/app/templates/a.yaml": "", "charts/app/templates/hook.yaml": "", "charts/app/templates/b.yaml": c.template,
				"charts/app/values.yaml": "ofChart: '" + compares + "'\n", "charts/app/config.txt": compares,
			}), b)
			if errors.Is(err, render.ErrInspected) != c.refused || !c.refused && err != nil ||
				c.refused && !strings.Contains(err.Error(), ": the value password of Secret apps/db;") {
				t.Error(err)
			}
		})
	}
}
