package main

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/navefleet/nave/hub/internal/openapi"
)

// schemasZip has the OpenAPI v3 documents of an API server without custom resources, without their descriptions and
// paths. TestSchemas writes it.
//
//go:embed schemas.zip
var schemasZip []byte

// openSchemas returns the files of schemasZip.
var openSchemas = sync.OnceValues(func() (*zip.Reader, error) {
	return zip.NewReader(bytes.NewReader(schemasZip), int64(len(schemasZip)))
})

// schemas are the schemas of one API server, which are read when they are needed. They are safe for concurrent use.
type schemas struct {
	served []string // the groups and versions that the server has, as pathOfVersion returns them
	// read returns the document of a group and version that the server has.
	read  func(ctx context.Context, gv schema.GroupVersion) (*openapi.Document, error)
	given map[schema.GroupVersionKind]*openapi.Schema // those of files, which precede what read returns
	// ofCluster: the server is that of the cluster. A kind that it does not serve cannot be applied.
	ofCluster bool
	// shares: other schemas may have the same documents, because they were read from the same place.
	shares   bool
	fallback string // why these schemas take the place of others; empty: they do not

	mu    sync.Mutex
	known map[schema.GroupVersion]*openapi.Document
}

// builtInSchemas returns the schemas of Kubernetes' own kinds.
func builtInSchemas(fallback string) *schemas {
	return &schemas{served: builtInVersions(), read: builtInSchema, fallback: fallback}
}

// builtInSchema returns the document of a group and version of Kubernetes itself.
func builtInSchema(_ context.Context, gv schema.GroupVersion) (*openapi.Document, error) {
	files, err := openSchemas()
	if err != nil {
		return nil, err
	}
	document, err := fs.ReadFile(files, pathOfVersion(gv)+".json")
	if err != nil {
		return nil, err
	}
	return openapi.Parse(document)
}

// builtInVersions returns the groups and versions of Kubernetes itself, as pathOfVersion names them.
func builtInVersions() (paths []string) {
	files, err := openSchemas()
	if err != nil {
		return nil // builtInSchema returns the error
	}
	for _, file := range files.File {
		paths = append(paths, strings.TrimSuffix(file.Name, ".json"))
	}
	return paths
}

// schemasIn returns the schemas in files, and the built-in ones of other kinds.
func schemasIn(paths []string) (*schemas, error) {
	s := builtInSchemas("")
	s.given = map[schema.GroupVersionKind]*openapi.Schema{}
	for _, path := range paths {
		files := []string{path}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			if files, err = filepath.Glob(filepath.Join(path, "*.json")); err != nil {
				return nil, err
			}
		}
		for _, file := range files {
			data, err := readInput(nil, file)
			if err != nil {
				return nil, fmt.Errorf("--schemas: %w", err)
			}
			document, err := openapi.Parse(data)
			if err != nil {
				return nil, fmt.Errorf("--schemas %s: %w", file, err)
			}
			for gvk := range document.Kinds() {
				s.given[gvk] = document.Schema(gvk)
			}
		}
	}
	if len(s.given) == 0 {
		return nil, fmt.Errorf("--schemas: %s has no schema of a kind", strings.Join(paths, ", "))
	}
	return s, nil
}

// schemasOf returns the schemas of the cluster that a kubeconfig names.
func schemasOf(ctx context.Context, kubeconfig, kubecontext string) (*schemas, error) {
	k, err := connectKubernetes(kubeconfig, kubecontext, "")
	if err != nil {
		return nil, fmt.Errorf("--validate: %w", err)
	}
	var index struct {
		Paths map[string]struct{} `json:"paths"`
	}
	found, err := k.get(ctx, "/openapi/v3", nil, &index)
	if err == nil && !found {
		err = errors.New("the cluster has no /openapi/v3")
	}
	if err != nil {
		return nil, fmt.Errorf("--validate: %w", err)
	}
	return &schemas{served: slices.Collect(maps.Keys(index.Paths)), ofCluster: true,
		read: func(ctx context.Context, gv schema.GroupVersion) (*openapi.Document, error) {
			var data json.RawMessage
			if found, err := k.get(ctx, "/openapi/v3/"+pathOfVersion(gv), nil, &data); err != nil || !found {
				return nil, cmp.Or(err, fmt.Errorf("the cluster lists schemas of %s, and does not have them", gv))
			}
			document, err := openapi.Parse(data)
			if err != nil {
				return nil, fmt.Errorf("read the schemas of %s: %w", gv, err)
			}
			return document, nil
		}}, nil
}

// isNoKubeconfig reports whether an error is that there is no kubeconfig at all.
func isNoKubeconfig(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if clientcmd.IsEmptyConfig(err) {
			return true
		}
	}
	return false
}

// schema returns the schema of a kind. If there is none, schema returns nil.
func (s *schemas) schema(ctx context.Context, gvk schema.GroupVersionKind) (*openapi.Schema, error) {
	if found := s.given[gvk]; found != nil {
		return found, nil
	}
	document, err := s.document(ctx, gvk.GroupVersion())
	if document == nil || err != nil {
		return nil, err
	}
	return document.Schema(gvk), nil
}

// document returns the document of a group and version. If the server does not have them, document returns nil.
func (s *schemas) document(ctx context.Context, gv schema.GroupVersion) (*openapi.Document, error) {
	if !slices.Contains(s.served, pathOfVersion(gv)) {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	document, ok := s.known[gv]
	if !ok {
		var err error
		if document, err = s.read(ctx, gv); err != nil {
			return nil, err
		}
		if s.known == nil {
			s.known = map[schema.GroupVersion]*openapi.Document{}
		}
		s.known[gv] = document
	}
	return document, nil
}

// keyFor returns a key that is equal for schemas that have the same documents of some versions, and serve the same.
func (s *schemas) keyFor(ctx context.Context, versions []schema.GroupVersion) any {
	if !s.shares {
		return s
	}
	key := strings.Join(s.served, " ")
	for _, gv := range versions {
		document, err := s.document(ctx, gv)
		if err != nil {
			return s
		}
		key += fmt.Sprintf(" %p", document)
	}
	return key
}
