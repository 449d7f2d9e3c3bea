package tree

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/wording"
)

// Suggest returns " (did you mean …?)" with the path of one of the types that is nearest to a missing one. If none is
// near, Suggest returns "". Suggest reads the last directory of the path that exists, so the message changes with that
// directory.
func (t *Tree) Suggest(p string, types ...render.FileType) string {
	if m, at := t.mounted(p); m != nil {
		return m.tree.Suggest(at, types...)
	}
	parent, wrong := path.Dir(p), path.Base(p)
	for parent != "/" {
		if k, err := t.Type(parent); err != nil || k == render.Directory {
			break
		}
		parent, wrong = path.Dir(parent), path.Base(parent)
	}
	entries, err := t.List(parent)
	if err != nil {
		return ""
	}
	inner := types // of what the wrong name should be
	if parent != path.Dir(p) {
		inner = []render.FileType{render.Directory}
	}
	var names []string
	for _, e := range entries {
		if t.isOf(path.Join(parent, e.Name), e, inner) {
			names = append(names, e.Name)
		}
	}
	best := nearest(wrong, names)
	if best == "" {
		return ""
	}
	better := path.Join(parent, best)
	if whole := better + strings.TrimPrefix(p, path.Join(parent, wrong)); whole != better {
		if k, err := t.Type(whole); err == nil && slices.Contains(types, k) {
			better = whole // only one name of the path is wrong
		}
	}
	return fmt.Sprintf(" (did you mean ./%s?)", Local(better))
}

// isOf reports whether the entry of a directory has one of the types, at the end of its links.
func (t *Tree) isOf(p string, e Entry, types []render.FileType) bool {
	switch {
	case e.Link:
		k, err := t.Type(p)
		return err == nil && slices.Contains(types, k)
	case e.Dir:
		return slices.Contains(types, render.Directory)
	}
	return slices.Contains(types, render.Regular)
}

// nearest returns the name that was most likely meant by a wrong one. It compares names without their extensions,
// because an extension that both have does not make them alike.
func nearest(wrong string, names []string) string {
	byStem := map[string]string{}
	var stems []string
	for _, name := range names {
		s := stem(name)
		if _, known := byStem[s]; !known || path.Ext(name) == path.Ext(wrong) {
			byStem[s] = name
		}
		stems = append(stems, s)
	}
	return byStem[wording.Nearest(stem(wrong), stems)]
}

// stem returns a name without its extension. If nothing is left, stem returns the whole name.
func stem(name string) string {
	return cmp.Or(strings.TrimSuffix(name, path.Ext(name)), name)
}
