package kustomize

import (
	"context"
	"fmt"
	"sync"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/openapi"
)

// turn is a semaphore for the one build that kustomize may run in this process. kustomize keeps the OpenAPI schema in a
// global that one build may set for another (kustomize issues 3659, 4824), so builds take turns, and worker processes
// run builds in parallel. The schema stays loaded between builds: loading it costs more than most builds.
var turn = make(chan struct{}, 1)

// loadSchema loads the built-in schema once.
var loadSchema = sync.OnceFunc(func() { openapi.Schema() })

// Warm loads the data that builds share before the first build.
func Warm() { loadSchema() }

// krustyBuild runs kustomize over one directory of fsys.
func krustyBuild(ctx context.Context, fsys *fileSystem, dir string) ([]*resource.Resource, error) {
	return runKustomize(ctx, fsys, dir, func() bool { return fsys.setsOpenAPI })
}

// runKustomize runs kustomize over one directory, with the options of Flux: builtin plugins only, no load restrictions
// within files, order as written. If setsOpenAPI reports that the build set the schema, runKustomize resets it.
func runKustomize(ctx context.Context, files filesys.FileSystem, dir string, setsOpenAPI func() bool) (
	resources []*resource.Resource, err error) {
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	loadSchema()
	defer func() {
		if setsOpenAPI() {
			openapi.ResetOpenAPI()
			openapi.Schema()
		}
		if r := recover(); r != nil {
			err = fmt.Errorf("kustomize panicked: %v", r)
		}
	}()
	options := &krusty.Options{
		Reorder:          krusty.ReorderOptionNone,
		LoadRestrictions: types.LoadRestrictionsNone,
		PluginConfig:     types.DisabledPluginConfig(),
	}
	built, err := krusty.MakeKustomizer(options).Run(files, dir)
	if err != nil {
		return nil, err
	}
	return built.Resources(), nil
}
