package helm

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
)

// helm4Version is the version of Helm 4 whose results the package gives.
const helm4Version = "v4.3"

// durationUnits are the functions of Helm 4 that return a duration in a unit.
var durationUnits = map[string]string{"durationNanoseconds": "ns", "durationMicroseconds": "us",
	"durationMilliseconds": "ms", "durationSeconds": "s", "durationMinutes": "m", "durationHours": "h",
	"durationDays": "d", "durationWeeks": "w"}

// helm4Calls are functions of Helm 4 only, with what does the same.
var helm4Calls = func() map[string]string {
	all := map[string]string{"mustToYaml": "MustToYaml", "mustToToml": "MustToToml", "mustToDuration": "MustToDuration",
		"durationRoundTo": "Multiple true", "durationTruncateTo": "Multiple false"}
	for name, unit := range durationUnits {
		all[name] = fmt.Sprintf("Duration %q", unit)
	}
	for name := range all {
		all[name] = callsObject + all[name]
	}
	return all
}()

// nameCalls returns an error that names the functions of Helm 4, and not what takes their places.
func nameCalls(err error) error {
	text := err.Error()
	if !strings.Contains(text, callsObject) {
		return err
	}
	for name, call := range helm4Calls {
		method, _, _ := strings.Cut(strings.TrimPrefix(call, callsObject), " ")
		text = strings.ReplaceAll(text, call, name)
		text = strings.ReplaceAll(text, callsObject+method, name)
	}
	return errors.New(text)
}

// helm4Call matches what may be a call of one of them.
var helm4Call = regexp.MustCompile(`\b(mustTo(Yaml|Toml|Duration)|duration[A-Z])`)

// useHelm4Calls replaces functions of Helm 4 in the templates of a chart and of its subcharts, and in the texts that
// tpl gets if a text in the values or in another file may have one.
func useHelm4Calls(c *chart.Chart, in Input) Input {
	values, _ := json.Marshal(in.Values)
	inTexts := helm4Call.Match(values)
	eachChart(c, func(c *chart.Chart) {
		for _, f := range c.Templates {
			if helm4Call.Match(f.Data) {
				f.Data = []byte(estrange(string(f.Data), helm4Calls))
			}
		}
		for _, f := range c.Raw {
			inTexts = inTexts || helm4Call.Match(f.Data)
		}
	})
	if !inTexts {
		return in
	}
	return in.withTexts(func(text string) string { return estrange(text, helm4Calls) })
}

// useTexts lets tpl get changed texts in the templates of a chart and of its subcharts.
func useTexts(c *chart.Chart, in Input) {
	if in.texts == nil {
		return
	}
	eachChart(c, func(c *chart.Chart) {
		for _, f := range c.Templates {
			f.Data = []byte(hookTexts(string(f.Data)))
		}
	})
}

// chartField are fields of .Chart that print alike in both versions of Helm.
var chartField = wordSet(`APIVersion Annotations AppVersion Condition Deprecated Description Home Icon IsRoot Keywords
	KubeVersion Name Sources Tags Type Version`)

// chartMention matches what may read .Chart, with the field.
var chartMention = regexp.MustCompile(`\.Chart\b(?:\.(\w+))?|"Chart"` +
	`|\bto(?:Yaml|Json|PrettyJson|RawJson)\w* [.$][ )}]|[.$] *\| *to(?:Yaml|Json)`)

// useChartMaps makes .Chart the map that it is in Helm 4, for the templates of a chart and of its subcharts. If no
// template can tell, they stay as they are.
func useChartMaps(c *chart.Chart) {
	tells := false
	eachChart(c, func(c *chart.Chart) {
		for _, f := range c.Raw {
			for _, m := range chartMention.FindAllSubmatch(f.Data, -1) {
				tells = tells || !chartField[string(m[1])]
			}
		}
	})
	if !tells {
		return
	}
	const first = `{{ $_ := set $ "Chart" (` + callsObject + `Chart $.Chart) }}`
	eachChart(c, func(c *chart.Chart) {
		for _, f := range c.Templates {
			f.Data = append([]byte(first), f.Data...)
		}
	})
}

// eachChart calls fn for a chart and for its subcharts.
func eachChart(c *chart.Chart, fn func(*chart.Chart)) {
	fn(c)
	for _, s := range c.Dependencies() {
		eachChart(s, fn)
	}
}

// separateAliases gives each alias of a subchart subcharts of its own, as in Helm 4. In Helm 3 all aliases share them,
// and what one of them disables is disabled for all.
func separateAliases(c *chart.Chart) {
	var separate []*chart.Chart
	for _, s := range c.Dependencies() {
		separateAliases(s)
		users := usersOf(c, s)
		if len(users) < 2 || len(s.Dependencies()) == 0 {
			separate = append(separate, s)
			continue
		}
		for _, d := range users {
			own := clone(s)
			if d.Alias != "" {
				own.Metadata.Name, d.Name = d.Alias, d.Alias
			}
			separate = append(separate, own)
		}
	}
	c.SetDependencies(separate...)
}

// usersOf returns the dependencies in the metadata of a chart that are a subchart.
func usersOf(c, s *chart.Chart) (users []*chart.Dependency) {
	for _, d := range c.Metadata.Dependencies {
		if d != nil && d.Name == s.Name() && chartutil.IsCompatibleRange(d.Version, s.Metadata.Version) {
			users = append(users, d)
		}
	}
	return users
}

// clone returns a chart with metadata and subcharts of its own.
func clone(c *chart.Chart) *chart.Chart {
	own, metadata := *c, *c.Metadata
	metadata.Dependencies = slices.Clone(metadata.Dependencies)
	for i, d := range metadata.Dependencies {
		if d != nil {
			copied := *d
			metadata.Dependencies[i] = &copied
		}
	}
	own.Metadata = &metadata
	own.SetDependencies()
	for _, s := range c.Dependencies() {
		own.AddDependency(clone(s))
	}
	return &own
}

// dropNulls removes nulls from the defaults of a chart and its subcharts, as in Helm 4. They count only among the
// values for a subchart that has others from above.
func dropNulls(c *chart.Chart, values map[string]any) {
	defaults := make(map[string]any, len(c.Values))
	for key, value := range c.Values {
		given, has := values[key]
		_, isTable := given.(map[string]any)
		isSubchart := slices.ContainsFunc(c.Dependencies(), func(s *chart.Chart) bool { return s.Name() == key })
		if !has || isTable && !isSubchart {
			value = withoutNulls(value)
		}
		if has || value != nil {
			defaults[key] = value
		}
	}
	c.Values = defaults
	globals, has := overridden(defaults, values, chartutil.GlobalKey)
	_, isTable := globals.(map[string]any)
	for _, s := range c.Dependencies() {
		value, _ := overridden(defaults, values, s.Name())
		below, _ := value.(map[string]any)
		if below = merge(below, nil); below[chartutil.GlobalKey] == nil && (isTable || !has) {
			below[chartutil.GlobalKey] = map[string]any{} // or those from above
		}
		dropNulls(s, below)
	}
}

// overridden returns the value of a key in defaults with values over them. A null deletes a default.
func overridden(defaults, values map[string]any, key string) (value any, has bool) {
	value, has = defaults[key]
	given, isGiven := values[key]
	switch {
	case !isGiven:
		return value, has
	case given == nil && has:
		return nil, false
	}
	return merge(map[string]any{key: value}, map[string]any{key: given})[key], true
}

// withoutNulls returns a value without the keys of its maps whose values are null.
func withoutNulls(value any) any {
	fields, ok := value.(map[string]any)
	if !ok {
		return value
	}
	out := make(map[string]any, len(fields))
	for key, field := range fields {
		if field != nil {
			out[key] = withoutNulls(field)
		}
	}
	return out
}
