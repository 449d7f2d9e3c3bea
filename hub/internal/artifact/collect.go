package artifact

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// collect removes the folders and contents of an id that no artifact refers to, if since the last time an artifact was
// removed or a fetch failed that had begun to write, or if this process has not looked yet. While an artifact of the id
// is put, collect does nothing, because the Put may rely on what is about to lose its last artifact. If an artifact is
// damaged, collect removes nothing: the artifact is put again or expires. Errors are ErrStorage or that of ctx.
func (s *Store) collect(ctx context.Context, id string) error {
	if s.isSwept(id) {
		return nil
	}
	unlock, err := s.workspace().lockUnused(ctx, id)
	if err != nil || unlock == nil {
		return err
	}
	defer unlock()
	home := filepath.Join(s.dir, artifactsDir, id)
	used, err := referred(ctx, home)
	if errors.Is(err, ErrStorage) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, kind := range []string{foldersDir, contentsDir} {
		if err := removeUnused(ctx, filepath.Join(home, kind), used[kind]); err != nil {
			return err
		}
	}
	if err := s.removeOthers(home); err != nil {
		return StorageError(err)
	}
	s.setSwept(id)
	return nil
}

func (s *Store) workspace() Workspace { return Workspace{Dir: s.dir, Tmp: s.tmp()} }

func (s *Store) isSwept(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.swept[id]
}

func (s *Store) setSwept(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.swept[id] = true
}

// begunPrefix begins the names of the files in a Workspace's Tmp that say of which ids a Put has begun to write.
const begunPrefix = "begun-"

// noteLeft has the next Sweep look for what a failed fetch left. No root refers to that. If every fetch of a source
// fails, such as on a full disk, no root is going to be replaced, and without noteLeft nothing would be removed.
func (s *Store) noteLeft(tmp string) {
	names, err := namesIn(tmp)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		clear(s.swept)
	}
	for _, name := range names {
		if id, ok := strings.CutPrefix(name, begunPrefix); ok {
			s.swept[id] = false
		}
	}
}

// referred returns the names of the folders and contents that the artifacts of an id refer to.
func referred(ctx context.Context, home string) (map[string]map[string]bool, error) {
	used := map[string]map[string]bool{foldersDir: {}, contentsDir: {}}
	roots, err := namesIn(filepath.Join(home, rootsDir))
	if err != nil {
		return nil, StorageError(err)
	}
	for _, root := range roots {
		r, err := open(filepath.Join(home, rootsDir, root), true)
		if err != nil {
			return nil, err
		}
		err = r.walk(ctx, r.root, "", func(_ string, e Entry) (bool, error) {
			kind := contentsDir
			if e.Mode == Directory {
				kind = foldersDir
			}
			known := used[kind][string(e.Content)]
			used[kind][string(e.Content)] = true
			return !known, nil
		})
		if err != nil {
			return nil, err
		}
	}
	return used, nil
}

// removeUnused removes what is in a folder, except used names.
func removeUnused(ctx context.Context, dir string, used map[string]bool) error {
	names, err := namesIn(dir)
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !used[name] {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, name)))
		}
	}
	return StorageError(err)
}

// removeOthers removes folders without content, and what hubs wrote until November 2026: a folder for each artifact.
func (s *Store) removeOthers(home string) error {
	names, err := namesIn(home)
	for _, name := range names {
		switch path := filepath.Join(home, name); name {
		case rootsDir, foldersDir, contentsDir:
			_ = os.Remove(path) // fails if there is something in it
		default:
			err = errors.Join(err, s.workspace().discard(path))
		}
	}
	_ = os.Remove(home)
	return err
}
