package tree

import (
	"path"
	"strings"
)

// mount is another artifact that a Tree shows at a path of its own.
type mount struct {
	at   string
	tree *Tree
}

// Mount shows the artifact in a directory at a path, in place of all that the tree has there. No file of the one leads
// to the other. The Reads of the tree have no facts of the other artifact. No mount may be below another.
func (t *Tree) Mount(at, dir string) error {
	inner, err := Open(t.ctx, dir, nil)
	if err != nil {
		return err
	}
	t.mounts = append(t.mounts, mount{at, inner})
	return nil
}

// MountOf returns the path of the mount that shows a path. If there is none, MountOf returns "".
func (t *Tree) MountOf(p string) string {
	if m, _ := t.mounted(p); m != nil {
		return m.at
	}
	return ""
}

// mounted returns the mount that shows a path, and the path in it. If there is none, mounted returns nil.
func (t *Tree) mounted(p string) (*mount, string) {
	for i := range t.mounts {
		m := &t.mounts[i]
		if rest, below := strings.CutPrefix(p, m.at); below && (rest == "" || rest[0] == '/') {
			return m, path.Join("/", rest)
		}
	}
	return nil, ""
}
