package helm

import (
	"bytes"
	"slices"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
)

// helm4Version is the version of Helm 4 whose results the package gives.
const helm4Version = "v4.3"

// helm4Calls are functions of Helm 4 only, with those that do the same for values without errors. The functions of Helm
// 4 for durations are missing.
var helm4Calls = map[string]string{"mustToYaml": "toYaml", "mustToToml": "toToml"}

// replaceCalls replaces functions of Helm 4 in the templates of a chart and its subcharts.
func replaceCalls(c *chart.Chart) {
	for _, f := range c.Templates {
		if bytes.Contains(f.Data, []byte("mustTo")) {
			f.Data = []byte(estrange(string(f.Data), helm4Calls))
		}
	}
	for _, s := range c.Dependencies() {
		replaceCalls(s)
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
