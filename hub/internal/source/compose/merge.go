package compose

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/internal/artifact"
)

// maxMerge limits the bytes of a file that is merged.
const maxMerge = 4 << 20

// merge merges a YAML file of an input over a file of the result, as Helm merges values: maps are merged, everything
// else is replaced. The documents of a file become one.
func (b *build) merge(under, over file, to string) error {
	base, err := b.values(under, to)
	if err != nil {
		return err
	}
	above, err := b.values(over, over.at.Path)
	if err != nil {
		return err
	}
	text, err := yaml.Marshal(mergeMaps(base, above))
	if err != nil {
		return refuse("merge %s: %v", to, err)
	}
	return b.make(to, artifact.Regular, text)
}

// values reads a file as one map.
func (b *build) values(f file, name string) (map[string]any, error) {
	text, err := b.read(b.ctx, f, maxMerge)
	if err != nil {
		return nil, fmt.Errorf("merge %s: %w", name, err)
	}
	all := map[string]any{}
	for documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text))); ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		var values map[string]any
		if err == nil {
			err = yaml.Unmarshal(document, &values)
		}
		if err != nil {
			return nil, refuse("merge %s: the file is not a YAML map: %v", name, err)
		}
		all = mergeMaps(all, values)
	}
}

// mergeMaps returns base with the values of over.
func mergeMaps(base, over map[string]any) map[string]any {
	for key, value := range over {
		under, isMap := base[key].(map[string]any)
		if next, ok := value.(map[string]any); ok && isMap {
			value = mergeMaps(under, next)
		}
		base[key] = value
	}
	return base
}
