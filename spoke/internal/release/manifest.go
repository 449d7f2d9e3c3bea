package release

import (
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/shared/manifest"
)

// Manifest returns the text of objects as a record has it: YAML documents in the order of the objects. The error quotes
// nothing of an object.
func Manifest(objects []*manifest.Object) (string, error) {
	var b strings.Builder
	for _, o := range objects {
		text, err := yaml.Marshal(o.Object)
		if err != nil {
			return "", fmt.Errorf("%s cannot be written as YAML", manifest.IDOf(o))
		}
		b.WriteString("---\n")
		b.Write(text)
	}
	return b.String(), nil
}
