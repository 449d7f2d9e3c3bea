package compose

import (
	"path"
	"strings"

	"github.com/navefleet/nave/hub/api"
)

// copy copies the files of one entry.
func (b *build) copy(c api.Copy) error {
	in := b.inputs[c.Source]
	switch {
	case in == nil:
		return refuse("spec.sources has no source with the alias @%s", c.Source)
	case c.Mount:
		return b.mount(in, c)
	}
	return b.copyFiles(in, c)
}

// mount copies a file or folder of an input to a path that the result does not have.
func (b *build) mount(in *input, c api.Copy) error {
	if _, isFile := b.files[c.To]; isFile || b.folders[c.To] || c.To == "." {
		return refuse("toPath: the repository has %s already: choose another path", c.To)
	}
	if f, isFile := in.files[c.From]; isFile {
		return b.copyFile(in, f, c.To, false)
	}
	files := in.below(c.From)
	if len(files) == 0 {
		return refuse("fromPath: there is no %s in %s at revision %s", c.From, in.name, in.artifact.Revision)
	}
	for _, f := range files {
		to := path.Join(c.To, strings.TrimPrefix(f.Path, c.From+"/"))
		if err := b.copyFile(in, f, to, false); err != nil {
			return err
		}
	}
	return nil
}
