package main

import (
	"archive/zip"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"io/fs"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// schemasZip has the OpenAPI v3 documents of an API server without custom resources, without their descriptions and
// paths. TestSchemas writes it.
//
//go:embed schemas.zip
var schemasZip []byte

// builtInSchemas returns the files of schemasZip.
var builtInSchemas = sync.OnceValues(func() (*zip.Reader, error) {
	return zip.NewReader(bytes.NewReader(schemasZip), int64(len(schemasZip)))
})

// builtInSchema returns the document of a group and version of Kubernetes itself; nil if there is none.
func builtInSchema(_ context.Context, gv schema.GroupVersion) ([]byte, error) {
	files, err := builtInSchemas()
	if err != nil {
		return nil, err
	}
	document, err := fs.ReadFile(files, pathOfVersion(gv)+".json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return document, err
}

// builtInVersions returns the groups and versions of Kubernetes itself, as pathOfVersion names them.
func builtInVersions() (paths []string) {
	files, err := builtInSchemas()
	if err != nil {
		return nil // builtInSchema returns the error
	}
	for _, file := range files.File {
		paths = append(paths, strings.TrimSuffix(file.Name, ".json"))
	}
	return paths
}
