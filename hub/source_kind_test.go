package hub_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/shared/manifest"
)

// This file has all code of the kind Folder, a made-up source: a folder of this machine.

const folderClosed = "FolderClosed" // a reason

func init() {
	api.Register(api.Kind{
		Name: "Folder", Plural: "folders", Short: "fo", Group: "test.nave.io", Version: "v1", Older: []string{"v1beta1"},
		Namespaced: true, Role: api.SourceRole, Words: []string{"source folder"},
		Convert: func(o *manifest.Object) { unstructured.RemoveNestedField(o.Object, "spec", "legacy") },
		Check: func(o *manifest.Object, found field.ErrorList) field.ErrorList {
			if path, _, _ := unstructured.NestedString(o.Object, "spec", "path"); !filepath.IsAbs(path) {
				return append(found, field.Invalid(field.NewPath("spec", "path"), path, "want an absolute path"))
			}
			return found
		},
		Reasons: []api.Reason{{Name: folderClosed, Means: "the folder says that it is closed",
			Advice: "Remove the file CLOSED from the folder"}},
		View: func(o *api.Object) (any, error) {
			f, err := api.Decode[folder](o)
			if err != nil {
				return nil, err
			}
			return &api.Source{URL: "file://" + f.Spec.Path, Interval: f.Spec.Interval.Duration, Identity: f.Spec.Path}, nil
		},
	})
}

// folder is a Folder.
type folder struct {
	Spec struct {
		Path     string          `json:"path"`
		Interval metav1.Duration `json:"interval"`
	} `json:"spec"`
}

// folderFetcher fetches Folders. It implements source.Fetcher.
type folderFetcher struct{}

func (folderFetcher) Fetch(ctx context.Context, r source.Request) (artifact.Artifact, error) {
	f, err := api.Decode[folder](r.Object)
	if err != nil {
		return artifact.Artifact{}, err
	}
	if _, err := os.Stat(filepath.Join(f.Spec.Path, "CLOSED")); err == nil {
		return artifact.Artifact{}, source.Classify(&api.Failure{Reason: folderClosed, Text: f.Spec.Path + " is closed"}, nil)
	}
	return putFolder(ctx, r, f.Spec.Path)
}

// putFolder makes an artifact of a folder.
func putFolder(ctx context.Context, r source.Request, folder string) (artifact.Artifact, error) {
	tree := artifact.Tree{Contents: folderContents(folder)}
	revision := ""
	err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		below, err := filepath.Rel(folder, name)
		content := artifact.IdentifyContent(data)
		tree.Files = append(tree.Files,
			artifact.File{Path: filepath.ToSlash(below), Mode: artifact.Regular, Content: content})
		revision += below + string(content)
		return err
	})
	if err != nil {
		return artifact.Artifact{}, fmt.Errorf("%w: %w", source.ErrRequest, err)
	}
	tree.Revision = "folder@" + manifest.DigestOf([]byte(revision)).String()
	if r.Last != nil && r.Last.Revision == tree.Revision {
		return *r.Last, nil
	}
	id := manifest.DigestOf([]byte(folder))
	return r.Workspace.Put(ctx, fmt.Sprintf("%x", id[:16]), tree, r.Last)
}

// folderContents reads the files of a folder. It implements artifact.Contents.
type folderContents string

func (c folderContents) Size(f artifact.File) (int64, error) {
	info, err := os.Stat(filepath.Join(string(c), f.Path))
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (c folderContents) Read(_ context.Context, f artifact.File, _ int64) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(c), f.Path))
}
