package artifact

import (
	"strings"

	"github.com/navefleet/nave/shared/manifest"
)

// Difference returns the paths at which an artifact differs from another one of the same source: the files of which
// content or mode differs, the files that only one of the two has, and the folders above these. Paths are rooted. If
// the other artifact is not on disk, or one of the two has symlinks, which give files a second path, Difference returns
// false.
func (s *Store) Difference(a Artifact, other manifest.Digest) (paths map[string]bool, ok bool) {
	id, _, _ := strings.Cut(strings.TrimPrefix(a.Dir, artifactsDir+"/"), "/")
	before, err := readIndex(s.Path(Artifact{Dir: dirOf(id, other)}), other)
	if err != nil {
		return nil, false
	}
	now, err := readIndex(s.Path(a), a.Digest)
	if err != nil {
		return nil, false
	}
	paths = map[string]bool{}
	for len(before) > 0 || len(now) > 0 {
		switch {
		case len(now) == 0 || len(before) > 0 && before[0].Path < now[0].Path:
			addWithFolders(paths, before[0])
			ok, before = before[0].Mode != Symlink, before[1:]
		case len(before) == 0 || now[0].Path < before[0].Path:
			addWithFolders(paths, now[0])
			ok, now = now[0].Mode != Symlink, now[1:]
		default:
			if before[0].identity() != now[0].identity() {
				paths["/"+now[0].Path] = true
			}
			ok = before[0].Mode != Symlink && now[0].Mode != Symlink
			before, now = before[1:], now[1:]
		}
		if !ok {
			return nil, false
		}
	}
	return paths, true
}

// addWithFolders adds the path of a file and of all folders above it.
func addWithFolders(paths map[string]bool, f File) {
	for p := f.Path; p != ""; p = parent(p) {
		paths["/"+p] = true
	}
	paths["/"] = true
}
