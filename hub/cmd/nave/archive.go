package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/fluxcd/pkg/sourceignore"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// Limits of an artifact.
const (
	maxArchive = 2 << 30 // bytes unpacked
	maxEntries = 400_000
)

// packArchive writes the files below dir, or a single file, as a compressed tar archive. The bytes depend only on the
// files, not on the time or the user. dir may be a symlink. Symlinks below it, and files that match ignore or
// .sourceignore, are left out. If no file is left, packArchive returns an error.
func packArchive(w io.Writer, dir string, ignore []string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("read --path: %w", err)
	}
	compressed := gzip.NewWriter(w)
	archive := tar.NewWriter(compressed)
	if info.IsDir() {
		err = packFolder(archive, dir, ignore)
	} else {
		err = packFile(archive, dir, filepath.Base(dir), info)
	}
	if err := errors.Join(err, archive.Close(), compressed.Close()); err != nil {
		return fmt.Errorf("pack %s: %w", dir, err)
	}
	return nil
}

func packFolder(archive *tar.Writer, dir string, ignore []string) error {
	dir, err := filepath.EvalSymlinks(dir) // WalkDir does not follow them
	if err != nil {
		return err
	}
	patterns := sourceignore.ReadPatterns(strings.NewReader(strings.Join(ignore, "\n")), nil)
	own, err := ignorePatterns(dir)
	if err != nil {
		return err
	}
	matcher, files := sourceignore.NewMatcher(append(patterns, own...)), 0
	err = filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || file == dir {
			return err
		}
		below, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(below)
		switch {
		case entry.IsDir() && entry.Name() == ".git":
			return filepath.SkipDir
		case !entry.Type().IsRegular(), matcher.Match(strings.Split(name, "/"), false):
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		files++
		return packFile(archive, file, name, info)
	})
	if err == nil && files == 0 {
		return errors.New("there is no file to pack: the folder is empty, or all of its files are symlinks or match " +
			"--ignore-paths or a .sourceignore file; clusters would delete everything that an empty artifact replaces")
	}
	return err
}

// packFile writes a file without owner and time, with mode 0644 or 0755.
func packFile(archive *tar.Writer, file, name string, info fs.FileInfo) error {
	header := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: info.Size()}
	if info.Mode()&0o111 != 0 {
		header.Mode = 0o755
	}
	content, err := os.Open(file)
	if err != nil {
		return err
	}
	defer content.Close()
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(archive, content)
	return err
}

// eachFile calls do for each file of an artifact. A name that leaves the folder is an error.
func eachFile(
	ctx context.Context, r io.Reader, do func(name string, mode artifact.Mode, content io.Reader) error,
) error {
	archive := source.Archive{
		Reader: r, Name: "the artifact", Bytes: maxArchive, Entries: maxEntries, SkipSymlinks: true,
	}
	return archive.Unpack(ctx, do)
}

// unpackArchive writes the files of an archive below dir and returns their number. It follows no symlink out of dir.
func unpackArchive(ctx context.Context, r io.Reader, dir string) (files int, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	err = eachFile(ctx, r, func(name string, mode artifact.Mode, content io.Reader) error {
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		file, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode.Permissions()|0o200)
		if err != nil {
			return err
		}
		files++
		_, err = io.Copy(file, content)
		return errors.Join(err, file.Close())
	})
	return files, err
}
