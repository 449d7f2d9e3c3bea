package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/navefleet/nave/e2e/kubetest"
)

// TestSchemas compares the built-in schemas with those of a real API server. With -update it writes schemas.zip anew.
func TestSchemas(t *testing.T) {
	if testing.Short() || os.Getenv("E2E_PROVIDER") == "kind" {
		t.Skip("needs the API server of the tests")
	}
	cluster, err := kubetest.Start(t.Context(), kubetest.Options{Name: "schemas"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	}()
	k, err := connectKubernetes(cluster.Kubeconfig, "", "")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	var index struct {
		Paths map[string]struct{ ServerRelativeURL string } `json:"paths"`
	}
	if _, err := k.get(t.Context(), "/openapi/v3", nil, &index); err != nil {
		t.Fatal(err)
	}
	for path, at := range index.Paths {
		if parts := strings.Split(path, "/"); len(parts) < 2 || parts[0] == "apis" && len(parts) < 3 {
			continue // the versions of a group
		}
		var raw json.RawMessage
		if _, err := k.get(t.Context(), "/openapi/v3/"+path, nil, &raw); err != nil {
			t.Fatal(err)
		}
		// The hub relies on this: it keeps a document under the hash that it computes, and looks for the one of the index.
		if hash := fmt.Sprintf("hash=%X", sha512.Sum512(raw)); !strings.Contains(at.ServerRelativeURL, hash) {
			t.Errorf("%s: the index says %s, want %s", path, at.ServerRelativeURL, hash)
		}
		var document map[string]any
		if err := json.Unmarshal(raw, &document); err != nil {
			t.Fatal(err)
		}
		document["paths"] = map[string]any{}
		components, _ := document["components"].(map[string]any)
		document["components"] = map[string]any{"schemas": undescribed(components["schemas"])}
		text, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		want[path+".json"] = string(text)
	}
	if *update {
		if err := os.WriteFile("schemas.zip", zipped(t, want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got := unzipped(t, schemasZip); !maps.Equal(got, want) {
		t.Error("the schemas are those of another Kubernetes: go test ./hub/cmd/nave -run TestSchemas -update")
	}
}

// undescribed removes descriptions. A property of the name is no text, and stays.
func undescribed(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, field := range v {
			if _, text := field.(string); key == "description" && text {
				delete(v, key)
			} else {
				v[key] = undescribed(field)
			}
		}
	case []any:
		for i, item := range v {
			v[i] = undescribed(item)
		}
	}
	return v
}

func zipped(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write([]byte(files[name]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unzipped(t *testing.T, data []byte) map[string]string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(r); err != nil {
			t.Fatal(err)
		}
		files[f.Name] = b.String()
	}
	return files
}
