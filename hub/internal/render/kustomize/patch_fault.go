package kustomize

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"sort"
	"strings"

	"sigs.k8s.io/kustomize/api/types"

	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/shared/manifest"
)

// explainPatch returns the error about the patch that fails a build, with the field that holds it: one of the
// Kustomization's spec, of which there are so many, or one of the kustomization file. If another cause fails the build,
// explainPatch returns nil.
func explainPatch(ctx context.Context, fsys *fileSystem, k *types.Kustomization, file, dir string, ofSpec int,
	failed error) error {
	if fsys.failed != nil {
		return nil
	}
	index, cause := badPatch(k.Patches, failed, func(patches []types.Patch) error {
		trial, with := fsys.again(), *k
		trial.overlay, with.Patches = maps.Clone(fsys.overlay), patches
		if err := putFile(trial, &with, file); err != nil {
			return err
		}
		_, err := krustyObjects(ctx, trial, dir)
		return cmp.Or(trial.failed, err)
	})
	switch own := len(k.Patches) - ofSpec; {
	case cause == nil || ctx.Err() != nil:
		return nil
	case index >= own:
		return fmt.Errorf("spec.patches[%d]: %w", index-own, cause)
	}
	return fmt.Errorf("%s: patches[%d]: %w", tree.Local(file), index, cause)
}

// badPatch returns the first patch with which a build fails, and why. failed is the error of the build with all
// patches. If the build fails also without patches, the cause is nil.
func badPatch(patches []types.Patch, failed error, build func([]types.Patch) error) (index int, cause error) {
	if len(patches) == 0 || build(nil) != nil {
		return 0, nil
	}
	index = sort.Search(len(patches)-1, func(i int) bool {
		err := build(patches[:i+1])
		if err != nil {
			failed = err // of fewer patches than the one before
		}
		return err != nil
	})
	return index, describePatch(patches[index].Patch, failed)
}

// describePatch returns what is wrong with a patch, without its text, which kustomize quotes.
func describePatch(patch string, err error) error {
	const unread = "unable to parse SM or JSON patch"
	quoted := fmt.Sprintf("[patch: %q]", strings.TrimSpace(patch))
	text := strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), quoted, "")), " ")
	if patch == "" || !strings.Contains(text, unread) {
		return errors.New(text)
	}
	const operations = "it is no JSON patch: want a list of operations, each with op and path"
	_, faults := manifest.ParseAll([]byte(patch))
	switch begin := strings.TrimSpace(patch); {
	case strings.HasPrefix(begin, "["):
		return errors.New(operations + ", as JSON, because it begins with [")
	case len(faults) == 0 || strings.HasPrefix(begin, "-") && !strings.HasPrefix(begin, "---"):
		return errors.New(operations)
	}
	return fmt.Errorf("it is neither an object to merge nor a JSON patch: %w", faults[0])
}
