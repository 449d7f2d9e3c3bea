package helm

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"helm.sh/helm/v3/pkg/chart"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// schemaFile is the file of a chart with the JSON schema of its values.
const schemaFile = "values.schema.json"

// checkSchemas checks the values of a chart and of its subcharts by their schemas. Helm's own check would fetch the
// URLs and read the files that a schema refers to.
func checkSchemas(c *chart.Chart, values map[string]any) error {
	var errs []error
	if c.Schema != nil {
		if err := checkSchema(c.Schema, values); err != nil {
			errs = append(errs, fmt.Errorf("values of chart %s: %w", c.ChartPath(), err))
		}
	}
	for _, s := range c.Dependencies() {
		value := values[s.Name()]
		if value == nil {
			continue
		}
		table, ok := value.(map[string]any)
		if !ok {
			errs = append(errs, fmt.Errorf("values of chart %s: want a map, not %T", s.ChartPath(), value))
			continue
		}
		errs = append(errs, checkSchemas(s, table))
	}
	return errors.Join(errs...)
}

// checkSchema checks values by one schema.
func checkSchema(schema []byte, values map[string]any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: %v", schemaFile, r)
		}
	}()
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return fmt.Errorf("%s: %w", schemaFile, err)
	}
	const at = "file:///" + schemaFile
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(schemaLoader{})
	if err := compiler.AddResource(at, parsed); err != nil {
		return fmt.Errorf("%s: %w", schemaFile, err)
	}
	validator, err := compiler.Compile(at)
	if err != nil {
		return fmt.Errorf("%s: %w", schemaFile, err)
	}
	if invalid, ok := errors.AsType[*jsonschema.ValidationError](validator.Validate(values)); ok {
		if found := violations(invalid, values); len(found) > 0 {
			return fmt.Errorf("not what %s wants: %s", schemaFile, strings.Join(found, "; "))
		}
	}
	return nil
}

// violations returns the reasons of a failed validation, each with the path of the value. What a schema says of a
// sealed value is left out: only its placeholder is known.
func violations(e *jsonschema.ValidationError, values map[string]any) (found []string) {
	if len(e.Causes) == 0 {
		value, _ := manifest.ValueAt(values, e.InstanceLocation)
		if text, ok := value.(string); ok && len(sealed.Find(text)) > 0 {
			return nil
		}
		text := e.Error()
		return []string{text[strings.LastIndex(text, "\n")+1:]}
	}
	for _, cause := range e.Causes {
		found = append(found, violations(cause, values)...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// schemaLoader loads the documents that a schema refers to by a URL.
type schemaLoader struct{}

// Load implements jsonschema.URLLoader. As in Helm, a schema that a URN names allows everything. Other URLs are errors.
func (schemaLoader) Load(url string) (any, error) {
	if strings.HasPrefix(url, "urn:") {
		return true, nil
	}
	return nil, errors.New("a render reads no other schema: put the definitions into " + schemaFile)
}
