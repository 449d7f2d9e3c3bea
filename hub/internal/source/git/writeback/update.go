package writeback

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/image"
	"github.com/navefleet/nave/hub/internal/source/git"
	"github.com/navefleet/nave/shared/wording"
)

// maxPlain limits how many contents without a marker are remembered.
const maxPlain = 100_000

// plain remembers contents that have no marker. The zero value remembers none. It is safe for concurrent use.
type plain struct {
	mu    sync.Mutex
	known map[artifact.ContentID]bool
}

func (p *plain) has(id artifact.ContentID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known[id]
}

func (p *plain) add(id artifact.ContentID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || len(p.known) >= maxPlain {
		p.known = map[artifact.ContentID]bool{}
	}
	p.known[id] = true
}

// changedFile is a file with new content.
type changedFile struct {
	path    string
	old     []byte
	content []byte
	changes []image.Change
}

// shown returns a path for people: in quotes, as git does, if it has characters that would look like something else.
func shown(path string) string {
	if quoted := strconv.Quote(path); quoted != `"`+path+`"` {
		return quoted
	}
	return path
}

// updated is what the files of a commit have.
type updated struct {
	changed  []changedFile
	problems []string // markers that cannot be carried out
	markers  int
}

// update returns the files below a folder of a commit whose marked values have to change.
func (p *plain) update(ctx context.Context, e *git.Editor, of git.Commit, dir string, policies image.Policies) (
	all updated, err error) {
	files, err := e.Files(ctx, of, strings.TrimPrefix(path.Clean("/"+dir), "/"))
	if err != nil {
		return all, fmt.Errorf("spec.update.path: %w", err)
	}
	for _, f := range files {
		if !image.Updatable(f.Path) || p.has(f.Content) {
			continue
		}
		content, err := e.Read(ctx, f)
		if err != nil {
			return all, fmt.Errorf("%s: %w", f.Path, err)
		}
		if !image.Marked(content) {
			p.add(f.Content)
			continue
		}
		file := image.Update(content, policies)
		all.markers += file.Markers
		for _, problem := range file.Problems {
			all.problems = append(all.problems, fmt.Sprintf("%s: %s", shown(f.Path), problem))
		}
		if len(file.Changes) > 0 {
			all.changed = append(all.changed, changedFile{f.Path, content, file.Content, file.Changes})
		}
	}
	return all, nil
}

// lacks says what is not there, without which a run changes nothing.
func (j *job) lacks(dir string, markers int) (all []string) {
	namespace := j.Object.Key.Namespace
	switch {
	case len(j.Selected) > 0:
	case len(j.Unselected) > 0:
		var names []string
		for _, key := range j.Unselected {
			names = append(names, key.Name)
		}
		all = append(all, fmt.Sprintf("spec.policySelector selects no ImagePolicy; the namespace %s has %s", namespace,
			wording.List(names, len(names), maxShown)))
	default:
		all = append(all, fmt.Sprintf("there is no ImagePolicy in the namespace %s", namespace))
	}
	if markers == 0 {
		where := cmp.Or(strings.TrimPrefix(path.Clean("/"+dir), "/"), "the repository")
		all = append(all, fmt.Sprintf("no marker found in %s: end the line of each value to set with "+
			`# {"$imagepolicy": "%s:NAME"}`, where, namespace))
	}
	return all
}
