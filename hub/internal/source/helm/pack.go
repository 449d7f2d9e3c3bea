package helm

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/shared/wording"
)

// pack makes an artifact of the chart in the artifact of another source: of a folder, or of an archive.
func (f *fetching) pack(ctx context.Context) (artifact.Artifact, error) {
	in := f.Inputs[0]
	files, err := f.Workspace.Files(in)
	if err != nil {
		return artifact.Artifact{}, err
	}
	root := path.Clean(strings.TrimLeft(f.spec.Chart, "/"))
	c := packing{fetching: f, files: files, from: map[string]artifact.File{}, own: map[string][]byte{}}
	if i := slices.IndexFunc(files, func(file artifact.File) bool { return file.Path == root }); i >= 0 {
		err = c.readArchive(ctx, files[i])
	} else {
		err = c.readFolder(ctx, root)
	}
	if err != nil {
		return artifact.Artifact{}, err
	}
	if f.spec.ReconcileStrategy == sourcev1.ReconcileStrategyRevision {
		if err := c.mark(ctx, in.Revision); err != nil {
			return artifact.Artifact{}, err
		}
	}
	if f.Last != nil && f.Last.Revision == c.meta.Version {
		return *f.Last, nil
	}
	if err := c.addDependencies(ctx); err != nil {
		return artifact.Artifact{}, err
	}
	return c.put(ctx, in)
}

// packing is a chart whose files come from the artifact of another source.
type packing struct {
	*fetching
	files []artifact.File // of the input
	root  string          // the folder of the chart in the input; empty: it is an archive
	depth int             // charts that this one is a dependency of
	meta  metadata
	from  map[string]artifact.File // files of the input by their path in the chart
	own   map[string][]byte        // files with another content, or from elsewhere
}

// readFolder takes the files of a folder.
func (c *packing) readFolder(ctx context.Context, root string) error {
	c.root = root
	prefix := root + "/"
	if root == "." {
		prefix = ""
	}
	for _, file := range c.files {
		if below, ok := strings.CutPrefix(file.Path, prefix); ok && !source.IsIgnoreFile(below) {
			c.from[below] = file
		}
	}
	file, ok := c.from[metadataFile]
	switch {
	case len(c.from) == 0:
		return invalid("%s has no such folder or archive%s", c.inputName(), c.charts())
	case !ok:
		return invalid("the folder has no %s", metadataFile)
	}
	text, err := c.Workspace.ReadFile(ctx, c.Inputs[0], file, maxMetadata)
	if err != nil {
		return err
	}
	c.meta, err = readMetadata(text)
	return err
}

// inputName returns the name of the source that should have the chart, and its revision.
func (f *fetching) inputName() string {
	name := f.spec.SourceRef.Kind + " " + f.spec.SourceRef.Name
	if revision := f.Inputs[0].Revision; strings.Contains(revision, ":") { // not of a checkout
		name += " at " + revision
	}
	return name
}

// charts returns where the charts of the input are, without those in charts, for an error.
func (c *packing) charts() string {
	var found []string
	for _, file := range c.files {
		if dir, name := path.Split(file.Path); name == metadataFile {
			found = append(found, cmp.Or(strings.TrimSuffix(dir, "/"), "."))
		}
	}
	if len(found) == 0 {
		return "; no folder in it has a " + metadataFile
	}
	slices.Sort(found)
	found = slices.DeleteFunc(found, func(dir string) bool {
		above, _, inside := strings.Cut(dir, "/charts/")
		return inside && slices.Contains(found, above)
	})
	return "; it has charts in " + wording.List(found, len(found), listed)
}

// readArchive takes the files of an archive.
func (c *packing) readArchive(ctx context.Context, file artifact.File) error {
	text, err := c.Workspace.ReadFile(ctx, c.Inputs[0], file, c.limits.Archive)
	if err != nil {
		return err
	}
	chart, err := unpack(ctx, bytes.NewReader(text), c.limits)
	if err != nil {
		return err
	}
	c.meta = chart.metadata
	for name, text := range chart.files {
		c.own[strings.TrimPrefix(name, chart.Name+"/")] = text
	}
	return nil
}

// digits is how many digits of a revision are part of a version, as in Flux.
const digits = 12

// mark adds the revision of the source to the version of the chart, and writes it into the Chart.yaml, as Flux does.
func (c *packing) mark(ctx context.Context, revision string) (err error) {
	v, err := semver.NewVersion(c.meta.Version)
	if err != nil {
		return fmt.Errorf("%w: %s: version %.80q is no semantic version, so the revision cannot be added to it "+
			"(spec.reconcileStrategy: Revision)", artifact.ErrTree, metadataFile, c.meta.Version)
	}
	name := revision[strings.LastIndexAny(revision, ":@/")+1:]
	marked, err := v.SetMetadata(name[:min(digits, len(name))])
	if err != nil {
		return fmt.Errorf("%w: the revision %.80q cannot be part of a version: %w", artifact.ErrTree, revision, err)
	}
	c.meta.Version = marked.String()
	text, ok := c.own[metadataFile]
	if !ok {
		if text, err = c.Workspace.ReadFile(ctx, c.Inputs[0], c.from[metadataFile], maxMetadata); err != nil {
			return err
		}
	}
	var all map[string]any
	if err := yaml.Unmarshal(bytes.TrimPrefix(text, byteOrderMark), &all); err != nil {
		return fmt.Errorf("%w: %s: %w", artifact.ErrTree, metadataFile, err)
	}
	all["version"] = c.meta.Version
	c.own[metadataFile], err = yaml.Marshal(all)
	return err
}

// put writes the chart below a folder with its name.
func (c *packing) put(ctx context.Context, in artifact.Artifact) (artifact.Artifact, error) {
	none := ""
	tree := artifact.Tree{Revision: c.meta.Version, Contents: c, Ignore: &none}
	for below, file := range c.from {
		if _, replaced := c.own[below]; !replaced {
			file.Path = path.Join(c.meta.Name, below)
			tree.Files = append(tree.Files, file)
		}
	}
	for below, text := range c.own {
		tree.Files = append(tree.Files, artifact.File{
			Path: path.Join(c.meta.Name, below), Mode: artifact.Regular, Content: artifact.IdentifyContent(text),
		})
	}
	id := c.CacheID("chart of " + strings.Join(c.access(), " "))
	a, err := c.Workspace.Put(ctx, id, tree, c.Last)
	a.Origin = artifact.Origin{Revision: cmp.Or(in.Origin.Revision, in.Revision), Source: in.Origin.Source}
	return a, err
}

// access returns the folders of the inputs, so that the name of the chart's folder depends on the access to them.
func (c *packing) access() (folders []string) {
	for _, in := range c.Inputs {
		folders = append(folders, filepath.Dir(filepath.Dir(in.Dir)))
	}
	return folders
}

var _ artifact.OnDisk = (*packing)(nil)

// source returns the file of the input that a file of the chart is.
func (c *packing) source(f artifact.File) (file artifact.File, own []byte) {
	below := strings.TrimPrefix(f.Path, c.meta.Name+"/")
	return c.from[below], c.own[below]
}

// Name implements artifact.OnDisk.
func (c *packing) Name(f artifact.File) string {
	file, own := c.source(f)
	if own != nil {
		return ""
	}
	return c.Workspace.FileName(c.Inputs[0], file)
}

// Size implements artifact.Contents.
func (c *packing) Size(f artifact.File) (int64, error) {
	file, own := c.source(f)
	if own != nil {
		return int64(len(own)), nil
	}
	return file.Size, nil
}

// Read implements artifact.Contents.
func (c *packing) Read(ctx context.Context, f artifact.File, limit int64) ([]byte, error) {
	file, own := c.source(f)
	if own == nil {
		return c.Workspace.ReadFile(ctx, c.Inputs[0], file, limit)
	}
	return source.Memory{f.Content: own}.Read(ctx, f, limit)
}
