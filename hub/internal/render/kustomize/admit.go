package kustomize

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/types"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
)

// admit checks one kustomization file before kustomize acts on it. If the file names a remote path, a chart or a path
// that does not exist, or cannot be decoded, admit returns an error. It returns the decoded file without fields that
// kustomize has given other names.
func (f *fileSystem) admit(p string, data []byte) (*types.Kustomization, error) {
	if err := checkKeys(p, data); err != nil {
		return nil, err
	}
	k := &types.Kustomization{}
	if err := k.Unmarshal(data); err != nil {
		return nil, fmt.Errorf("%s: %w", tree.Local(p), err)
	}
	k.FixKustomization()
	if len(k.OpenAPI) > 0 {
		f.setsOpenAPI = true
	}
	if len(k.HelmCharts) > 0 || k.HelmGlobals != nil {
		return nil, fmt.Errorf("%s: helmCharts: charts are not inflated in a kustomize build; use a HelmRelease, or "+
			"commit the rendered chart", tree.Local(p))
	}
	//nolint:staticcheck // repositories still use the old fields, and kustomize still reads them
	for _, patch := range slices.Concat(k.Patches, k.PatchesJson6902) {
		if err := checkAliases(p, []byte(patch.Patch)); err != nil {
			return nil, err
		}
	}
	for _, r := range references(k) {
		if err := f.admitReference(p, r); err != nil {
			return nil, err
		}
	}
	if len(f.remotes.needs) > 0 {
		return nil, errNeeds
	}
	return k, nil
}

// reference is one path in a kustomization file.
type reference struct {
	field, path string
	accepts     accepted
	use         use
}

// accepted is the set of values that a field accepts.
type accepted int

const (
	file      accepted = 0                  // the path of a file
	inline    accepted = 1                  // the path of a file, or YAML itself
	directory accepted = 2                  // the path of a file or a directory
	plugin             = inline | directory // all of these
)

// types returns the types of the files that a field accepts the path of.
func (a accepted) types() []render.FileType {
	if a&directory != 0 {
		return []render.FileType{render.Regular, render.Directory}
	}
	return []render.FileType{render.Regular}
}

// references returns every path in a kustomization file that kustomize would load.
func references(k *types.Kustomization) (all []reference) {
	add := func(field string, accepts accepted, paths ...string) {
		for _, p := range paths {
			if p != "" {
				all = append(all, reference{field, p, accepts, useOf(field)})
			}
		}
	}
	add("resources", directory, k.Resources...)
	add("components", directory, k.Components...)
	add("crds", file, k.Crds...)
	add("configurations", file, k.Configurations...)
	add("generators", plugin, k.Generators...)
	add("transformers", plugin, k.Transformers...)
	add("validators", plugin, k.Validators...)
	add("openapi.path", file, k.OpenAPI["path"])
	add("patches.path", file, mapped(k.Patches, patchPath)...)
	//nolint:staticcheck // see admit
	add("patchesJson6902.path", file, mapped(k.PatchesJson6902, patchPath)...)
	//nolint:staticcheck // see admit
	add("patchesStrategicMerge", inline,
		mapped(k.PatchesStrategicMerge, func(p types.PatchStrategicMerge) string { return string(p) })...)
	add("replacements.path", file, mapped(k.Replacements, func(r types.ReplacementField) string { return r.Path })...)
	for _, g := range k.ConfigMapGenerator {
		add("configMapGenerator", file, sources(g.KvPairSources)...)
	}
	for _, g := range k.SecretGenerator {
		add("secretGenerator", file, append([]string{g.EnvSource}, g.EnvSources...)...)
		for _, source := range g.FileSources {
			all = append(all, reference{"secretGenerator", sourcePath(source), file, secretFile(source)})
		}
	}
	return all
}

func patchPath(p types.Patch) string { return p.Path }

func mapped[T any](list []T, fn func(T) string) []string {
	texts := make([]string, len(list))
	for i, e := range list {
		texts[i] = fn(e)
	}
	return texts
}

// sources returns the paths of a generator: of files as "path" or "key=path".
func sources(s types.KvPairSources) []string {
	paths := append([]string{s.EnvSource}, s.EnvSources...)
	for _, file := range s.FileSources {
		paths = append(paths, sourcePath(file))
	}
	return paths
}

// splitSource returns the key and the path of a generator's "path" or "key=path"; the key is the path if there is none.
// A remote path may hold "=" itself.
func splitSource(file string) (key, p string) {
	if key, p, ok := strings.Cut(file, "="); ok && !isRemote(file) {
		return key, p
	}
	return file, file
}

// sourcePath returns the path of a generator's "path" or "key=path".
func sourcePath(file string) string {
	_, p := splitSource(file)
	return p
}

func (f *fileSystem) admitReference(p string, r reference) error {
	if r.accepts&inline != 0 && strings.ContainsAny(r.path, "\n{") {
		if err := checkAliases(p, []byte(r.path)); err != nil {
			return err
		}
		return f.admitPlugin(p, []byte(r.path))
	}
	if err := f.find(p, r); err != nil {
		return fmt.Errorf("%s: %s: %w", tree.Local(p), r.field, err)
	}
	return nil
}

// find checks a path in the kustomization file p. If the path is not that of a file or a directory of the tree that r
// accepts, find returns an error.
func (f *fileSystem) find(p string, r reference) error {
	if isRemote(r.path) {
		return f.findRemote(p, r)
	}
	if path.IsAbs(r.path) {
		return fmt.Errorf("%s: %w; write it relative to the kustomization file", r.path, render.ErrRemote)
	}
	target := tree.Clean(path.Join(path.Dir(p), r.path))
	if f.tree.MountOf(p) != f.tree.MountOf(target) {
		return fmt.Errorf("%s: %w: it leads out of the repository", r.path, render.ErrRemote)
	}
	return f.findAt(target, r)
}

// findAt checks the target of a reference.
func (f *fileSystem) findAt(target string, r reference) error {
	k, err := f.tree.Type(target)
	switch {
	case err != nil:
		return err
	case k == render.Absent:
		// not ErrNotFound, which is the error of a spec.path that does not exist
		return fmt.Errorf("%s not found%s", r.path, f.tree.Suggest(target, r.accepts.types()...))
	case k == render.Special:
		return fmt.Errorf("%s is neither a file nor a directory", r.path)
	case k == render.Directory && r.accepts&directory == 0:
		return fmt.Errorf("%s is a directory, a file is needed", r.path)
	case k == render.Directory && !isBase(f, target):
		return fmt.Errorf("directory %s has no kustomization file", r.path)
	case k == render.Directory:
		return checkBase(f, r.field, target)
	case k == render.Regular && r.field == "resources":
		f.resources = append(f.resources, target)
	case k == render.Regular:
		return f.note(target, r.use)
	}
	return nil
}

var (
	// remotePrefixes are the prefixes of paths that kustomize takes for a Git repository or a URL.
	remotePrefixes = []string{"git::", "gh:", "ssh://", "https://", "http://", "file://", "git@", "github.com:",
		"github.com/"}
	// scpStyle is user@host:path, and user@host/path.
	scpStyle = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9-]*@`)
)

// isRemote reports whether kustomize could take a path for a URL or a repository to fetch.
func isRemote(p string) bool {
	lower := strings.ToLower(p)
	if slices.ContainsFunc(remotePrefixes, func(prefix string) bool { return strings.HasPrefix(lower, prefix) }) {
		return true
	}
	if u, err := url.Parse(p); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		return true
	}
	return scpStyle.MatchString(p)
}
