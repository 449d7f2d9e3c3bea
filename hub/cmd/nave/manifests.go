package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/kustomize"
	"github.com/navefleet/nave/hub/internal/render/worker"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wording"
)

// manifests has the flags that name objects of the hub by files, as those of kubectl.
type manifests struct {
	files     []string
	recursive bool
	folder    string
}

func (m *manifests) flags(cmd *cobra.Command, verb string) {
	f := cmd.Flags()
	f.StringArrayVarP(&m.files, "filename", "f", nil,
		"file to "+verb+", or folder of .yaml, .yml and .json files; - is standard input (repeatable)")
	f.BoolVarP(&m.recursive, "recursive", "R", false, "with -f, read the folders below a folder, too")
	f.StringVarP(&m.folder, "kustomize", "k", "",
		"folder with a kustomization.yaml, whose build to "+verb+"; its bases must be in the folder or its Git work tree")
	cmd.MarkFlagsMutuallyExclusive("kustomize", "filename")
	cmd.MarkFlagsMutuallyExclusive("kustomize", "recursive")
}

// read returns the files, or what kustomize builds.
func (m *manifests) read(cmd *cobra.Command) ([]api.File, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	if cmd.Flags().Changed("kustomize") {
		data, err := kustomized(cmd.Context(), m.folder)
		return []api.File{{Data: data}}, err
	}
	var all []string
	for _, file := range m.files {
		found, err := manifestsIn([]string{file}, m.recursive)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("folder %s has no .yaml, .yml or .json file: -R reads the folders below it, and -k "+
				"builds a kustomization.yaml", file)
		}
		all = append(all, found...)
	}
	return readFiles(cmd.InOrStdin(), all)
}

// check refuses names that name no file.
func (m *manifests) check() error {
	for i, file := range m.files {
		switch {
		case file == "":
			return usageError("-f \"\": want a file, a folder, or - for standard input")
		case file == "-" && slices.Contains(m.files[:i], file):
			return usageError("-f - is given twice: standard input can be read once")
		case strings.Contains(file, "://"):
			return usageError("-f %s: nave reads no URLs: fetch it first, and give it to -f -", file)
		}
	}
	if strings.Contains(m.folder, "://") {
		return usageError("-k %s: nave reads no URLs: clone the repository first, and name the folder", m.folder)
	}
	return nil
}

// kustomized returns the objects that kustomize builds from a folder, as YAML documents.
func kustomized(ctx context.Context, dir string) ([]byte, error) {
	if err := requireKustomization(dir); err != nil {
		return nil, err
	}
	path, err := realPath(dir)
	if err != nil {
		return nil, err
	}
	root := workTree(path)
	if root == "" {
		root = path
	}
	below, err := filepath.Rel(root, path)
	if err != nil {
		return nil, err
	}
	spec, err := kustomize.Encode(kustomize.Spec{Path: filepath.ToSlash(below)})
	if err != nil {
		return nil, err
	}
	worker.DenyNetwork()
	built, err := kustomize.Renderer{}.Render(ctx, render.Request{Spec: spec, Root: root, Salt: []byte(buildSalt)})
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", dir, err)
	}
	if n := len(built.Sealed); n > 0 {
		return nil, fmt.Errorf("build %s: values are encrypted with SOPS (%s, and %s in all): the hub has no keys; decrypt "+
			"them first, or leave them in Git for a cluster", dir, built.Sealed[0].Path, wording.Count(n, "file"))
	}
	return plainDocuments(built.Objects)
}

// requireKustomization returns an error unless a folder has a file for kustomize. Flux would make one up.
func requireKustomization(dir string) error {
	if info, err := os.Stat(dir); dir == "" {
		return usageError("-k \"\": want the folder of a kustomization.yaml")
	} else if err != nil {
		return err
	} else if !info.IsDir() {
		return usageError("%s is a file: name the folder of a kustomization.yaml with -k, or a manifest with -f", dir)
	}
	for _, name := range kustomize.FileNames() {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return nil
		}
	}
	return fmt.Errorf("folder %s has no kustomization.yaml: to read all of its manifests, use -f %[1]s", dir)
}

// plainDocuments returns built objects as kustomize alone builds them, without the labels with which Flux's build marks
// the objects of a Kustomization. If there are no objects, plainDocuments returns an error.
func plainDocuments(objects []*manifest.Object) ([]byte, error) {
	if len(objects) == 0 {
		return nil, errors.New("kustomize builds no objects: add resources to kustomization.yaml")
	}
	values := make([]map[string]any, len(objects))
	for i, o := range objects {
		values[i] = o.Object
	}
	leaveOwner(values)
	text, err := documents(values...)
	return []byte(text), err
}
