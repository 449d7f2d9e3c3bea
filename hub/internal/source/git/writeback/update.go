package writeback

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/image"
	"github.com/navefleet/nave/hub/internal/source/git"
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

// update returns the files below a folder of a commit whose marked values have to change, and the markers that
// cannot be carried out.
func (p *plain) update(ctx context.Context, e *git.Editor, of git.Commit, dir string, policies image.Policies) (
	changed []changedFile, problems []string, err error) {
	files, err := e.Files(ctx, of, strings.TrimPrefix(path.Clean("/"+dir), "/"))
	if err != nil {
		return nil, nil, fmt.Errorf("spec.update.path: %w", err)
	}
	for _, f := range files {
		if !image.Updatable(f.Path) || p.has(f.Content) {
			continue
		}
		content, err := e.Read(ctx, f)
		if err != nil {
			return nil, problems, fmt.Errorf("%s: %w", f.Path, err)
		}
		if !image.Marked(content) {
			p.add(f.Content)
			continue
		}
		updated := image.Update(content, policies)
		for _, problem := range updated.Problems {
			problems = append(problems, fmt.Sprintf("%s: %s", shown(f.Path), problem))
		}
		if len(updated.Changes) > 0 {
			changed = append(changed, changedFile{f.Path, content, updated.Content, updated.Changes})
		}
	}
	return changed, problems, nil
}
