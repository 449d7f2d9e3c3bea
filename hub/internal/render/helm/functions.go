package helm

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/template"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/Masterminds/sprig/v3"
	"sigs.k8s.io/yaml"
)

// builtins are functions of text/template that a watcher can call.
var builtins = []string{"eq", "ne", "lt", "le", "gt", "ge", "html", "js", "urlquery", "index", "len", "printf"}

// functions are those of sprig and of Helm that a watcher can call. Of those of Helm, what cannot be decoded is a value
// that tells the error.
var functions = sync.OnceValue(func() template.FuncMap {
	all := sprig.TxtFuncMap()
	maps.DeleteFunc(all, func(name string, _ any) bool { return keeping[name] || name == "env" || name == "expandenv" })
	maps.Copy(all, template.FuncMap{
		"fromYaml":      func(s string) any { return decodeMap(s, decodeYAML) },
		"fromJson":      func(s string) any { return decodeMap(s, json.Unmarshal) },
		"fromToml":      func(s string) any { return decodeMap(s, toml.Unmarshal) },
		"fromYamlArray": func(s string) any { return decodeList(s, decodeYAML) },
		"fromJsonArray": func(s string) any { return decodeList(s, json.Unmarshal) },
	})
	for name, unit := range durationUnits {
		all[name] = func(v any) any { return calls{}.Duration(unit, v) }
	}
	all["mustToDuration"] = calls{}.MustToDuration
	all["durationRoundTo"] = func(v, of any) time.Duration { return calls{}.Multiple(true, v, of) }
	all["durationTruncateTo"] = func(v, of any) time.Duration { return calls{}.Multiple(false, v, of) }
	return all
})

func decodeYAML(data []byte, into any) error { return yaml.Unmarshal(data, into) }

func decodeMap(text string, decode func([]byte, any) error) map[string]any {
	all := map[string]any{}
	if err := decode([]byte(text), &all); err != nil {
		all["Error"] = err.Error()
	}
	return all
}

func decodeList(text string, decode func([]byte, any) error) []any {
	all := []any{}
	if err := decode([]byte(text), &all); err != nil {
		all = []any{err.Error()}
	}
	return all
}

// canCall reports whether a watcher can call a function.
func canCall(name string) bool { return functions()[name] != nil || slices.Contains(builtins, name) }

// invocation is the data of a template that calls one function.
type invocation struct {
	Args   []any
	result any
}

// Put keeps the result of the function.
func (i *invocation) Put(result any) string {
	i.result = result
	return ""
}

var invocations sync.Map // templates by the name of their function and the number of its arguments

// callFunction calls a function as a template does.
func callFunction(name string, args []any) (any, error) {
	if !canCall(name) {
		return nil, fmt.Errorf("function %q is not watched", name)
	}
	key := name + " " + strconv.Itoa(len(args))
	t, known := invocations.Load(key)
	if !known {
		var b strings.Builder
		for i := range args {
			b.WriteString(" (index .Args " + strconv.Itoa(i) + ")")
		}
		parsed, err := template.New(name).Funcs(functions()).Parse("{{ .Put (" + name + b.String() + ") }}")
		if err != nil {
			return nil, err
		}
		t, _ = invocations.LoadOrStore(key, parsed)
	}
	i := &invocation{Args: args}
	err := t.(*template.Template).Execute(&strings.Builder{}, i)
	return i.result, err
}
