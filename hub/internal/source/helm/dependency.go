package helm

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// Limits of the dependencies of a chart.
const (
	maxDependencies = 64 // of one chart
	maxNested       = 8  // charts in other folders of the source that depend on each other
)

// ErrNotVendored is the error of a dependency that has to be fetched if Charts has no Registries: it fetches nothing.
var ErrNotVendored = fmt.Errorf("%w: it is not in charts/, and no server is asked for it here: run helm dependency "+
	"build", source.ErrRequest)

// dependency is a chart that another one needs in its folder charts/.
type dependency struct {
	Name       string `json:"name"`
	Version    string `json:"version"`
	Repository string `json:"repository"`
}

// addDependencies adds the dependencies that the chart does not have in its folder charts/. As in Flux, versions are
// those of Chart.lock, if there is one. A chart may need several versions of another one, by aliases.
func (c *packing) addDependencies(ctx context.Context) error {
	wanted, err := c.dependencies(ctx)
	if err != nil || len(wanted) == 0 {
		return err
	}
	have, err := c.vendored(ctx)
	if err != nil {
		return err
	}
	added := map[dependency]bool{}
	for _, d := range wanted {
		if have[d.Name] || added[d] {
			continue
		}
		err := c.addDependency(ctx, d)
		if errors.Is(err, ErrNotVendored) {
			return fmt.Errorf("dependency %s: %w", source.Quote(d.Name), err)
		}
		if err != nil {
			return &api.Failure{Reason: api.DependencyBuildError, Text: fmt.Sprintf("dependency %s: %v", source.Quote(d.Name),
				source.Classify(err, noProtocol))}
		}
		added[d] = true
	}
	return nil
}

// dependencies returns what the chart needs, with the versions that are locked.
func (c *packing) dependencies(ctx context.Context) ([]dependency, error) {
	wanted, err := c.list(ctx, metadataFile, "requirements.yaml")
	if err != nil || len(wanted) == 0 {
		return nil, err
	}
	locked, err := c.list(ctx, "Chart.lock", "requirements.lock")
	if err != nil {
		return nil, err
	}
	if len(wanted) > maxDependencies {
		return nil, fmt.Errorf("%w: the chart has %d dependencies; at most %d are fetched", artifact.ErrLimit, len(wanted),
			maxDependencies)
	}
	for i, d := range wanted {
		at := slices.IndexFunc(locked, func(l dependency) bool { return l.Name == d.Name })
		if i < len(locked) && locked[i].Name == d.Name {
			at = i // helm keeps the order
		}
		if at >= 0 {
			wanted[i].Version = locked[at].Version
		}
		if d.Name != path.Base(d.Name) || artifact.BadName(d.Name) != "" {
			return nil, fmt.Errorf("%w: the name %.80q of a dependency cannot be that of a folder", artifact.ErrTree, d.Name)
		}
	}
	return wanted, nil
}

// list returns the dependencies that the first of some files lists.
func (c *packing) list(ctx context.Context, names ...string) ([]dependency, error) {
	for _, name := range names {
		file, ok := c.from[name]
		if !ok || file.Mode == artifact.Symlink {
			continue
		}
		text, err := c.Workspace.ReadFile(ctx, c.Inputs[0], file, maxMetadata)
		if err != nil {
			return nil, err
		}
		var list struct {
			Dependencies []dependency `json:"dependencies"`
		}
		if err := yaml.Unmarshal(bytes.TrimPrefix(text, byteOrderMark), &list); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", artifact.ErrTree, name, err)
		}
		if len(list.Dependencies) > 0 {
			return list.Dependencies, nil
		}
	}
	return nil, nil
}

// vendored returns the names of the charts in charts/, in folders and archives.
func (c *packing) vendored(ctx context.Context) (map[string]bool, error) {
	have := map[string]bool{}
	for below, file := range c.from {
		parts := strings.Split(below, "/")
		inFolder := len(parts) == 3 && parts[2] == metadataFile
		isArchive := len(parts) == 2 && path.Ext(below) == ".tgz"
		if parts[0] != "charts" || !inFolder && !isArchive || file.Mode == artifact.Symlink {
			continue
		}
		text, err := c.Workspace.ReadFile(ctx, c.Inputs[0], file, c.limits.Archive)
		if err != nil {
			return nil, err
		}
		var m metadata
		if inFolder {
			m, err = readMetadata(text)
		} else {
			var chart unpacked
			chart, err = unpack(ctx, bytes.NewReader(text), c.limits)
			m = chart.metadata
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", below, err)
		}
		have[m.Name] = true
	}
	return have, nil
}

// addDependency adds the files of one dependency.
func (c *packing) addDependency(ctx context.Context, d dependency) error {
	switch {
	case d.Repository == "":
		return fmt.Errorf("%w: it has no repository, and charts/ has no such chart", artifact.ErrTree)
	case strings.HasPrefix(d.Repository, "file:"):
		return c.addLocal(ctx, d)
	case c.registries == nil:
		return ErrNotVendored
	}
	at, err := c.repositoryOf(d)
	if err != nil {
		return err
	}
	u, err := url.Parse(at.spec.URL)
	if err != nil {
		return fmt.Errorf("%w: its repository cannot be read", artifact.ErrTree)
	}
	if u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "oci" {
		return fmt.Errorf("%w: its repository %s is no URL of a repository, registry or folder", artifact.ErrTree,
			source.Quote(source.Redact(d.Repository)))
	}
	archive, err := c.remote(ctx, d, at, u)
	if err != nil {
		return fmt.Errorf("from %s: %w", source.Redact(at.spec.URL), err)
	}
	return c.addArchive(ctx, d, archive)
}

// addArchive adds the archive of a dependency.
func (c *packing) addArchive(ctx context.Context, d dependency, archive []byte) error {
	chart, err := unpack(ctx, bytes.NewReader(archive), c.limits)
	if err != nil {
		return err
	}
	if chart.Name != d.Name {
		return fmt.Errorf("%w: the archive is one of the chart %s", artifact.ErrTree, source.Quote(chart.Name))
	}
	c.own[fmt.Sprintf("charts/%s-%s.tgz", d.Name, url.PathEscape(chart.Version))] = archive // as helm names it
	return nil
}

// remote downloads the archive of a dependency: with the Secrets of its HelmRepository, or else as anybody may, because
// Chart.yaml is no object that Secrets could be bound to.
func (c *packing) remote(ctx context.Context, d dependency, from repository, at *url.URL) ([]byte, error) {
	f := fetching{Request: c.Request, registries: c.registries, limits: c.limits}
	f.Last, f.Inputs, f.Servers = nil, nil, nil
	f.Secrets, f.Bindings, f.Giver = from.server.Secrets, from.server.Bindings, from.server.Giver
	if at.Scheme == "oci" {
		return f.pullDependency(ctx, d, from, at)
	}
	versions, err := c.versionsOf(ctx, d, from)
	if err != nil {
		return nil, from.advise(err)
	}
	v, err := choose(versions, cmp.Or(d.Version, "*"))
	if err != nil {
		return nil, err
	}
	archive, err := f.archive(ctx, &from.spec, v)
	return archive, from.advise(err)
}

// pullDependency pulls the archive of a dependency from a registry.
func (f *fetching) pullDependency(ctx context.Context, d dependency, from repository, at *url.URL) (archive []byte,
	err error) {
	ref := reference{url: at.JoinPath(d.Name), insecure: from.spec.Insecure}
	ref.name(d.Version)
	if ref.secrets, err = registrySecrets(f.Secrets, at.Host); err != nil {
		return nil, err
	}
	layer, err := f.pull(ctx, ref)
	return layer.archive, from.advise(err)
}

// versionsOf returns the versions of a dependency: those in the artifact of its HelmRepository, or in the index of its
// server.
func (c *packing) versionsOf(ctx context.Context, d dependency, from repository) ([]version, error) {
	f := fetching{Request: c.Request, limits: c.limits}
	if from.known {
		f.Inputs = []artifact.Artifact{from.index}
		return f.versions(ctx, d.Name)
	}
	f.Secrets, f.Bindings, f.Last, f.Inputs, f.Servers = nil, nil, nil, nil, nil
	i := indexing{Request: f.Request, limits: c.limits, only: d.Name}
	u, err := indexURL(from.spec.URL)
	if err != nil {
		return nil, err
	}
	file, _, err := i.download(ctx, u, cached{})
	if err != nil {
		return nil, err
	}
	defer file.Close()
	x, err := i.read(file)
	if err != nil {
		return nil, fmt.Errorf("index.yaml: %w", err)
	}
	if len(x.charts) == 0 {
		return nil, invalid("the repository has no such chart")
	}
	return x.charts[d.Name], nil
}

// addLocal adds the chart in another folder of the source, with its own dependencies.
func (c *packing) addLocal(ctx context.Context, d dependency) error {
	if c.depth == maxNested {
		return fmt.Errorf("%w: more than %d charts depend on each other", artifact.ErrLimit, maxNested)
	}
	at := strings.TrimPrefix(d.Repository, "file://")
	root := path.Join(c.root, at)
	if path.IsAbs(at) {
		root = strings.TrimPrefix(path.Clean(at), "/")
	}
	if root == ".." || strings.HasPrefix(root, "../") {
		return fmt.Errorf("%w: its repository %s leaves the source", artifact.ErrTree, source.Quote(d.Repository))
	}
	other := &packing{
		fetching: c.fetching, files: c.files, depth: c.depth + 1, from: map[string]artifact.File{}, own: map[string][]byte{},
	}
	if err := other.readFolder(ctx, cmp.Or(root, ".")); err != nil {
		return fmt.Errorf("folder %s: %w", source.Quote(root), err)
	}
	if err := other.satisfies(d); err != nil {
		return err
	}
	if _, taken := c.from[path.Join("charts", d.Name, metadataFile)]; taken {
		return fmt.Errorf("%w: another folder of the source is a dependency of the same name", artifact.ErrTree)
	}
	if err := other.addDependencies(ctx); err != nil {
		return err
	}
	for below, file := range other.from {
		c.from[path.Join("charts", d.Name, below)] = file
	}
	for below, text := range other.own {
		c.own[path.Join("charts", d.Name, below)] = text
	}
	return nil
}

// satisfies returns an error if the chart is not the one that a dependency means.
func (c *packing) satisfies(d dependency) error {
	if c.meta.Name != d.Name {
		return fmt.Errorf("%w: the chart in its folder is %s", artifact.ErrTree, source.Quote(c.meta.Name))
	}
	constraint, err := semver.NewConstraint(cmp.Or(d.Version, "*"))
	if err != nil {
		return fmt.Errorf("%w: version %.80q: %w", artifact.ErrTree, d.Version, err)
	}
	if v, err := semver.NewVersion(c.meta.Version); d.Version != c.meta.Version && (err != nil || !constraint.Check(v)) {
		return fmt.Errorf("%w: the chart in its folder has the version %.80q; want %.80q", artifact.ErrTree, c.meta.Version,
			d.Version)
	}
	return nil
}
