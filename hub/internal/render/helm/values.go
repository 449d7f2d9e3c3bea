package helm

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"helm.sh/helm/v3/pkg/strvals"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/sealed"
)

// MergeValues returns the values of a release: the data of from in its order, and over it the inline values. Data with
// a TargetPath is set over the inline values that it meets, as in Flux. MergeValues may change its arguments.
func MergeValues(from []api.ChartValues, inline map[string]any) (map[string]any, error) {
	result := map[string]any{}
	for i, f := range from {
		f.Field = cmp.Or(f.Field, fmt.Sprintf("spec.valuesFrom[%d]", i))
		switch {
		case f.Tree != nil:
			var err error
			if result, err = mergeTree(result, inline, f); err != nil {
				return nil, fmt.Errorf("%s: %s, key %s: %w", f.Field, f.Input, f.Key, err)
			}
			continue
		case f.Data == nil && f.Optional:
			continue
		case f.Data == nil && f.Live:
			return nil, fmt.Errorf("%s: %s: %w", f.Field, f.Input, api.ErrLiveValues)
		case f.Data == nil:
			return nil, fmt.Errorf("%s: %s, key %s: %w", f.Field, f.Input, f.Key, f.Missing())
		case f.TargetPath == "" && sealed.Placeholder(strings.TrimSpace(*f.Data)).Valid():
			return nil, fmt.Errorf("%s: %s, key %s: %w: all values are one encrypted text, whose keys only a cluster can "+
				"tell: nave diff and nave build cluster ask the hub for them", f.Field, f.Input, f.Key, render.ErrInspected)
		case f.TargetPath != "":
			result = merge(result, inline)
			if err := set(result, f); err != nil {
				return nil, fmt.Errorf("%s: %s, key %s, for %s: %w", f.Field, f.Input, f.Key, f.TargetPath, err)
			}
			continue
		}
		values, err := ParseValues([]byte(*f.Data))
		if err != nil {
			return nil, fmt.Errorf("%s: %s, key %s: %w", f.Field, f.Input, f.Key, err)
		}
		result = merge(result, values)
	}
	return merge(result, inline), nil
}

// mergeTree returns the values with those that a spoke told the keys of.
func mergeTree(result, inline map[string]any, f api.ChartValues) (map[string]any, error) {
	if f.TargetPath == "" {
		values := map[string]any{}
		err := json.Unmarshal(f.Tree, &values)
		return merge(result, values), err
	}
	var value any
	if err := json.Unmarshal(f.Tree, &value); err != nil {
		return nil, err
	}
	result = merge(result, inline)
	if text, isText := value.(string); isText {
		return result, strvals.ParseIntoString(f.TargetPath+"="+literal.Replace(text), result)
	}
	return result, strvals.ParseInto(f.TargetPath+"="+string(f.Tree), result)
}

// ParseValues returns the values in YAML. Numbers are float64, as templates of Helm see them.
func ParseValues(data []byte) (values map[string]any, err error) {
	err = yaml.Unmarshal(data, &values)
	if values == nil {
		values = map[string]any{}
	}
	return values, err
}

// merge returns a with b merged over it: maps are merged, everything else is replaced. The result shares maps with
// both. MergeValues relies on that: a value that is set in a map of the inline values stays when they are merged again.
func merge(a, b map[string]any) map[string]any {
	out := make(map[string]any, len(a)+len(b))
	for key, value := range a {
		out[key] = value
	}
	for key, value := range b {
		below, isMap := out[key].(map[string]any)
		over, isOver := value.(map[string]any)
		if isMap && isOver {
			value = merge(below, over)
		}
		out[key] = value
	}
	return out
}

// literal escapes what --set-string gives a meaning in a value.
var literal = strings.NewReplacer(`\`, `\\`, `,`, `\,`, `[`, `\[`, `]`, `\]`, `{`, `\{`, `}`, `\}`)

// set sets the one value at the TargetPath. A value in quotes is a text.
func set(values map[string]any, f api.ChartValues) error {
	data := *f.Data
	quoted := func(quote string) bool { return strings.HasPrefix(data, quote) && strings.HasSuffix(data, quote) }
	switch {
	case f.Literal:
		return strvals.ParseIntoString(f.TargetPath+"="+literal.Replace(data), values)
	case quoted(`"`), quoted(`'`):
		return strvals.ParseIntoString(f.TargetPath+"="+strings.Trim(data, `'"`), values)
	}
	return strvals.ParseInto(f.TargetPath+"="+data, values)
}
