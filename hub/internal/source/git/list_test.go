package git

import (
	"fmt"
	"slices"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
)

// TestList_counted lists a commit that changes one file of 10,000 in 100 folders: only the root and one folder are
// read.
func TestList_counted(t *testing.T) {
	r := repositoryOf(t)
	commit := func(changed string) plumbing.Hash {
		var root []byte
		for i := range 100 {
			var content []byte
			for j := range 100 {
				text := fmt.Sprint(i, j)
				if i == 42 && j == 17 {
					text = changed
				}
				blob := plumbing.ComputeHash(plumbing.BlobObject, []byte(text))
				content = append(content, line("100644", fmt.Sprintf("f%02d", j), blob)...)
			}
			root = append(root, line("40000", fmt.Sprintf("d%02d", i), r.mustPut(t, plumbing.TreeObject, content))...)
		}
		return r.mustPut(t, plumbing.TreeObject, root)
	}
	before, now := commit("one"), commit("two")
	l := lister{repository: r, limits: DefaultLimits}
	if err := l.list(t.Context(), now, before, ""); err != nil {
		t.Fatal(err)
	}
	if l.entries != 200 || len(l.files) != 100 || len(l.shared) != 99 || slices.Contains(l.shared, "d42") {
		t.Errorf("read %d entries, %d files; shared are %v", l.entries, len(l.files), l.shared)
	}
	l = lister{repository: r, limits: DefaultLimits}
	if err := l.list(t.Context(), now, now, ""); err != nil || l.entries > 0 || !slices.Equal(l.shared, []string{""}) {
		t.Errorf("of the same tree %d entries were read, shared are %q, %v", l.entries, l.shared, err)
	}
}
