package artifact

import (
	"context"
	"path"
	"strings"

	"github.com/navefleet/nave/shared/manifest"
)

// Difference returns the paths at which an artifact differs from another one of the same source: the files of which
// content or mode differs, the files and folders that only one of the two has, and the folders that these are in. Paths
// are rooted. Folders that both artifacts have are not read. If the other artifact is not on disk, or one of the two
// has symlinks, which give files a second path, Difference returns false.
func (s *Store) Difference(a Artifact, other manifest.Digest) (paths map[string]bool, ok bool) {
	before, err := Open(s.Path(Artifact{Dir: dirOf(idOf(a), other)}))
	if err != nil {
		return nil, false
	}
	now, err := Open(s.Path(a))
	if err != nil || now.root.total.Links+before.root.total.Links > 0 {
		return nil, false
	}
	d := comparison{before, now, map[string]bool{}}
	err = d.folders("/", before.root, now.root)
	return d.paths, err == nil
}

// comparison collects the paths at which two artifacts differ.
type comparison struct {
	before, now *Reader
	paths       map[string]bool
}

// folders compares two folders at a path.
func (d comparison) folders(dir string, before, now *Folder) error {
	x, y := before.Entries, now.Entries
	for len(x) > 0 || len(y) > 0 {
		var err error
		switch {
		case len(y) == 0 || len(x) > 0 && x[0].Name < y[0].Name:
			err, x = d.onlyOne(d.before, dir, x[0]), x[1:]
		case len(x) == 0 || y[0].Name < x[0].Name:
			err, y = d.onlyOne(d.now, dir, y[0]), y[1:]
		default:
			err, x, y = d.entries(dir, x[0], y[0]), x[1:], y[1:]
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// entries compares two entries with the same name.
func (d comparison) entries(dir string, before, now Entry) error {
	p := path.Join(dir, now.Name)
	switch {
	case before == now:
		return nil
	case before.Mode != Directory && now.Mode != Directory:
		d.paths[p] = true
		return nil
	case before.Mode != now.Mode: // a file and a folder
		if err := d.onlyOne(d.before, dir, before); err != nil {
			return err
		}
		return d.onlyOne(d.now, dir, now)
	}
	x, err := d.before.Folder(before)
	if err != nil {
		return err
	}
	y, err := d.now.Folder(now)
	if err != nil {
		return err
	}
	return d.folders(p, x, y)
}

// onlyOne adds an entry that only one of the artifacts has.
func (d comparison) onlyOne(r *Reader, dir string, e Entry) error {
	one := &Folder{Entries: []Entry{e}}
	d.paths[dir] = true
	return r.walk(context.Background(), one, strings.TrimPrefix(dir, "/"), func(p string, _ Entry) (bool, error) {
		d.paths["/"+p] = true
		return true, nil
	})
}
