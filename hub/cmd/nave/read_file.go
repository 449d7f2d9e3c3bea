package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/sourceignore"
	"github.com/fluxcd/pkg/sourceignore/gitignore"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/render/kustomize"
)

// Limits of the files that nave reads, in bytes.
const (
	maxInput  = 64 << 20 // a file or standard input
	maxIgnore = 1 << 20  // a .sourceignore, as on the hub
)

// readInput reads a file that the user names, which may be a pipe. If stdin is given, "-" stands for it.
func readInput(stdin io.Reader, name string) ([]byte, error) {
	if name == "-" && stdin != nil {
		return io.ReadAll(artifact.Bound(stdin, maxInput, "standard input"))
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(artifact.Bound(file, maxInput, name))
}

// manifestsIn returns files, with the YAML and JSON files of a folder in its place. If recursive is set, those of the
// folders below it are among them. A folder may be somebody else's: if one of its files is no regular file, or is a
// symlink that leads out of it, manifestsIn returns an error.
func manifestsIn(files []string, recursive bool) (all []string, err error) {
	for _, file := range files {
		info, err := os.Stat(file)
		if file == "-" || err != nil || !info.IsDir() {
			all = append(all, file)
			continue
		}
		dir := file + string(filepath.Separator)
		err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() && !recursive && path != dir {
				return fs.SkipDir
			}
			if err != nil || entry.IsDir() || !isManifest(path) {
				return err
			}
			all = append(all, path)
			return checkBelow(file, path)
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

func isKustomizationFile(path string) bool {
	return slices.Contains(kustomize.FileNames(), filepath.Base(path))
}

// checkBelow checks that a path is a regular file in a folder, with symlinks followed.
func checkBelow(dir, path string) error {
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	if below, err := filepath.Rel(root, real); err != nil || !filepath.IsLocal(below) {
		return fmt.Errorf("%s is a symlink that leads out of %s: remove it, or name the file itself", path, dir)
	}
	info, err := os.Stat(real)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file: remove it", path)
	}
	return err
}

// ignorePatterns returns the patterns of the .sourceignore files in a folder and in the folders below it, those of a
// folder before those of the folders in it. As on the hub, a .sourceignore that is no regular file does not count.
func ignorePatterns(dir string) (all []gitignore.Pattern, err error) {
	err = filepath.WalkDir(dir+string(filepath.Separator), func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == ".git":
			return fs.SkipDir
		case !entry.IsDir():
			return nil
		}
		found, err := ignorePatternsOf(dir, path)
		all = append(all, found...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read %s files: %w", sourceignore.IgnoreFile, err)
	}
	return all, nil
}

// ignorePatternsOf returns the patterns of the .sourceignore of one folder below a root.
func ignorePatternsOf(root, dir string) ([]gitignore.Pattern, error) {
	name := filepath.Join(dir, sourceignore.IgnoreFile)
	if info, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(artifact.Bound(file, maxIgnore, name))
	if err != nil {
		return nil, err
	}
	below, err := filepath.Rel(root, dir)
	if err != nil {
		return nil, err
	}
	var domain []string
	if below != "." {
		domain = strings.Split(filepath.ToSlash(below), "/")
	}
	return sourceignore.ReadPatterns(bytes.NewReader(text), domain), nil
}

// isManifest reports whether a file has manifests by its name.
func isManifest(path string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)) && !isKustomizationFile(path)
}
