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

// admit checks one kustomization file before kustomize acts on it: nothing remote, no charts, and everything that it
// names is there. A kustomization file that does not parse is kustomize's own to report.
func (f *fileSystem) admit(p string, data []byte) error {
	var k types.Kustomization
	if err := k.Unmarshal(data); err != nil {
		return fmt.Errorf("%s: %w", tree.Local(p), err)
	}
	k.FixKustomization()
	if len(k.OpenAPI) > 0 {
		f.setsOpenAPI = true
	}
	if len(k.HelmCharts) > 0 || k.HelmGlobals != nil {
		return fmt.Errorf("%s: helmCharts: charts are not inflated in a kustomize build; use a HelmRelease, or commit the "+
			"rendered chart", tree.Local(p))
	}
	//nolint:staticcheck // repositories still use the old fields, and kustomize still reads them
	for _, patch := range slices.Concat(k.Patches, k.PatchesJson6902) {
		if err := checkAliases(p, []byte(patch.Patch)); err != nil {
			return err
		}
	}
	for _, r := range references(&k) {
		if err := f.admitReference(p, r); err != nil {
			return err
		}
	}
	return nil
}

// reference is one path in a kustomization file.
type reference struct {
	field, path string
	// inline: the text may also be YAML itself.
	inline bool
	// directory: the path may be a directory.
	directory bool
}

// references returns every path in a kustomization file that kustomize would load.
func references(k *types.Kustomization) []reference {
	var all []reference
	add := func(field string, r reference, paths ...string) {
		for _, p := range paths {
			if p != "" {
				all = append(all, reference{field, p, r.inline, r.directory})
			}
		}
	}
	add("resources", reference{directory: true}, k.Resources...)
	add("components", reference{directory: true}, k.Components...)
	add("crds", reference{}, k.Crds...)
	add("configurations", reference{}, k.Configurations...)
	add("generators", reference{inline: true, directory: true}, k.Generators...)
	add("transformers", reference{inline: true, directory: true}, k.Transformers...)
	add("validators", reference{inline: true, directory: true}, k.Validators...)
	add("openapi.path", reference{}, k.OpenAPI["path"])
	for _, p := range k.Patches {
		add("patches.path", reference{}, p.Path)
	}
	//nolint:staticcheck // see admit
	for _, p := range k.PatchesJson6902 {
		add("patchesJson6902.path", reference{}, p.Path)
	}
	//nolint:staticcheck // see admit
	for _, p := range k.PatchesStrategicMerge {
		add("patchesStrategicMerge", reference{inline: true}, string(p))
	}
	for _, r := range k.Replacements {
		add("replacements.path", reference{}, r.Path)
	}
	for _, g := range k.ConfigMapGenerator {
		add("configMapGenerator", reference{}, sources(g.KvPairSources)...)
	}
	for _, g := range k.SecretGenerator {
		add("secretGenerator", reference{}, sources(g.KvPairSources)...)
	}
	return all
}

// sources returns the paths of a generator: of files as "path" or "key=path".
func sources(s types.KvPairSources) []string {
	paths := append([]string{s.EnvSource}, s.EnvSources...)
	for _, file := range s.FileSources {
		paths = append(paths, sourcePath(file))
	}
	return paths
}

// sourcePath returns the path of a generator's "path" or "key=path". A remote path may hold "=" itself.
func sourcePath(file string) string {
	if isRemote(file) {
		return file
	}
	if _, p, ok := strings.Cut(file, "="); ok {
		return p
	}
	return file
}

func (f *fileSystem) admitReference(p string, r reference) error {
	if r.inline && strings.ContainsAny(r.path, "\n{") {
		if err := checkAliases(p, []byte(r.path)); err != nil {
			return err
		}
		return admitPlugin(p, []byte(r.path))
	}
	if isRemote(r.path) {
		return fmt.Errorf("%s: %s: %s: %w; remote bases and files are not fetched: "+
			"commit a copy of it, or make it a source and a Kustomization of its own", tree.Local(p), r.field, r.path,
			render.ErrRemote)
	}
	if path.IsAbs(r.path) {
		return fmt.Errorf("%s: %s: %s: %w; write it relative to the kustomization file", tree.Local(p), r.field, r.path,
			render.ErrRemote)
	}
	target := tree.Clean(path.Join(path.Dir(p), r.path))
	k, err := f.tree.Type(target)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %s: %w", tree.Local(p), r.field, err)
	case k == render.Absent:
		return fmt.Errorf("%s: %s: %s %w%s", tree.Local(p), r.field, r.path, render.ErrNotFound, f.tree.Suggest(target))
	case k == render.Special:
		return fmt.Errorf("%s: %s: %s is neither a file nor a directory", tree.Local(p), r.field, r.path)
	case k == render.Directory && !r.directory:
		return fmt.Errorf("%s: %s: %s is a directory, a file is needed", tree.Local(p), r.field, r.path)
	case k == render.Directory:
		return f.admitBase(p, r, target)
	case r.field == "resources":
		f.resources = append(f.resources, target)
	}
	return nil
}

// admitBase checks that a directory that is named has a kustomization file.
func (f *fileSystem) admitBase(p string, r reference, target string) error {
	for _, name := range kustomizationNames() {
		if f.is(path.Join(target, name), render.Regular) {
			return nil
		}
	}
	return fmt.Errorf("%s: %s: directory %s has no kustomization file", tree.Local(p), r.field, r.path)
}

var (
	// remotePrefixes begin what kustomize takes for a Git repository or a URL.
	remotePrefixes = []string{"git::", "gh:", "ssh://", "https://", "http://", "file://", "git@", "github.com:",
		"github.com/"}
	// scpStyle is user@host:path, and user@host/path.
	scpStyle = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9-]*@`)
)

// isRemote reports whether kustomize could take a path for something to fetch.
func isRemote(p string) bool {
	lower := strings.ToLower(p)
	for _, prefix := range remotePrefixes {
		if strings.HasPrefix(lower, prefix) {
			return true
		}
	}
	if u, err := url.Parse(p); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		return true
	}
	return scpStyle.MatchString(p)
}
