package decrypt

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/navefleet/nave/shared/sealed"
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// leaves lists the scalars of YAML documents by document and path.
func leaves(t *testing.T, data []byte) map[string]*yaml.Node {
	t.Helper()
	out := map[string]*yaml.Node{}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for document := 0; ; document++ {
		var n yaml.Node
		err := decoder.Decode(&n)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		collect(out, n.Content[0], strconv.Itoa(document))
	}
}

func collect(out map[string]*yaml.Node, n *yaml.Node, at string) {
	switch n.Kind {
	case yaml.ScalarNode:
		out[at] = n
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			collect(out, n.Content[i+1], at+"\x00"+n.Content[i].Value)
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			collect(out, c, at+"\x00"+strconv.Itoa(i))
		}
	}
}

// want is the value that a plain scalar is encrypted as.
func want(t *testing.T, n *yaml.Node) sealed.Value {
	t.Helper()
	var v any
	if err := n.Decode(&v); err != nil {
		t.Fatal(err)
	}
	switch v := v.(type) {
	case int:
		return sealed.Integer(int64(v))
	case float64:
		return sealed.Float(v)
	case bool:
		return sealed.Boolean(v)
	}
	return sealed.Text(n.Value)
}

func TestFixtures(t *testing.T) {
	keys := map[string][]byte{"age.agekey": fixture(t, "age.key")}
	for _, name := range []string{"secret", "multi", "values"} {
		t.Run(name, func(t *testing.T) {
			file := fixture(t, name+".yaml")
			p, err := openString(t, file, keys)
			if err != nil {
				t.Fatal(err)
			}
			plain, found := leaves(t, fixture(t, name+".plain.yaml")), 0
			for at, n := range leaves(t, file) {
				path := strings.Split(at, "\x00")
				if !strings.HasPrefix(n.Value, "ENC[") || path[1] == metadataKey {
					continue
				}
				document, err := strconv.Atoi(path[0])
				if err != nil || plain[at] == nil {
					t.Fatalf("%q is not in the plain file", path)
				}
				if v, ok := p.Value(document, path[1:]); !ok || v != want(t, plain[at]) {
					t.Errorf("%q: not what was encrypted (found: %v)", path, ok)
				}
				found++
			}
			if found == 0 {
				t.Error("no encrypted value in the file")
			}
		})
	}
	for _, name := range []string{"secret-whole.yaml", "secret-rotated.yaml", "secret-updatekeys.yaml", "patch.yaml"} {
		_, err := openString(t, fixture(t, name), map[string][]byte{"a.agekey": fixture(t, "age.key"),
			"b.agekey": fixture(t, "other.key")})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := openString(t, fixture(t, "secret-foreign.yaml"), keys); !errors.Is(err, ErrNoKey) {
		t.Errorf("secret-foreign.yaml: got %v, want ErrNoKey", err)
	}
}
