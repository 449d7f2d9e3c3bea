package kustomize

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"sync"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/seal"
	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/shared/sealed"
)

var errReadOnly = errors.New("the artifact is read-only")

// fileSystem is the file system of kustomize: one tree, read-only, with SOPS files sealed, and with the kustomization
// file that Flux would write in its place. kustomize ignores some errors and tries other paths. So failed keeps the
// first error of the file system, which becomes the error of the build.
type fileSystem struct {
	tree *tree.Tree
	salt sealed.Salt
	// overlay holds the generated kustomization file by its path.
	overlay map[string][]byte
	sealed  map[string]sealedFile
	uses    map[string]use // by resolved path; a file without an entry is asObjects
	// ciphertext has the encrypted leaves that are shipped as they were committed.
	ciphertext map[string]bool
	// resources are the files that were named as resources, in order. explain and locate search them.
	resources []string
	// setsOpenAPI: a kustomization file changes kustomize's global OpenAPI schema.
	setsOpenAPI bool
	remotes     *remotes
	joins       *joins // nil: every resource is read as it is listed
	memory      *memory
	failed      error
}

// sealedFile is a SOPS file of the tree, after sealing.
type sealedFile struct {
	*seal.File
	original []byte
}

var _ filesys.FileSystem = (*fileSystem)(nil)

func newFileSystem(t *tree.Tree, salt sealed.Salt) *fileSystem {
	return &fileSystem{tree: t, salt: salt, remotes: newRemotes(false), overlay: map[string][]byte{},
		memory: &memory{}, sealed: map[string]sealedFile{}, uses: map[string]use{}, ciphertext: map[string]bool{}}
}

// again returns f as it was before the build, for a build without joins.
func (f *fileSystem) again() *fileSystem {
	fresh := newFileSystem(f.tree, f.salt)
	f.remotes.needs = nil
	fresh.overlay, fresh.remotes, fresh.setsOpenAPI = f.overlay, f.remotes, f.setsOpenAPI
	return fresh
}

// fail keeps the first error and returns err.
func (f *fileSystem) fail(err error) error {
	if f.failed == nil {
		f.failed = err
	}
	return err
}

// ReadFile implements filesys.FileSystem.
func (f *fileSystem) ReadFile(name string) ([]byte, error) {
	p := tree.Clean(name)
	if data, ok := f.joins.file(p); ok {
		return data, nil
	}
	if isKustomizationFile(p) {
		data, k, err := f.admitted(p)
		if err != nil {
			return nil, err
		}
		if data, err = f.joins.join(p, k, data); err != nil {
			return nil, f.fail(err)
		}
		return data, nil
	}
	data, err := f.content(p)
	if err != nil {
		return nil, err
	}
	if err := checkAliases(p, data); err != nil {
		return nil, f.fail(err)
	}
	if err := f.admitPlugin(p, data); err != nil {
		return nil, f.fail(err)
	}
	return data, nil
}

// admitted returns the content of a kustomization file and the decoded file, after admit has checked it.
func (f *fileSystem) admitted(p string) ([]byte, *types.Kustomization, error) {
	data, err := f.content(p)
	if err != nil {
		return nil, nil, err
	}
	k, err := f.admit(p, data)
	if err != nil {
		return nil, nil, f.fail(err)
	}
	if data, err = f.localize(p, data); err != nil {
		return nil, nil, f.fail(err)
	}
	return data, k, nil
}

// content returns a file's content. If the file is a SOPS file, content returns it sealed.
func (f *fileSystem) content(p string) ([]byte, error) {
	if data, ok := f.overlay[p]; ok {
		return data, nil
	}
	if s, ok := f.sealed[p]; ok {
		return s.Text, nil
	}
	data, err := f.tree.Read(p)
	if err != nil {
		if k, kerr := f.tree.Type(p); kerr != nil || k == render.Regular || k == render.Special {
			f.fail(err) // the file exists
		}
		return nil, err
	}
	if _, ok := seal.Detect(data); !ok {
		return data, nil
	}
	if isKustomizationFile(p) {
		return nil, f.fail(fmt.Errorf("%s: a kustomization file cannot be encrypted; encrypt the files that it names",
			tree.Local(p)))
	}
	return f.seal(p, data)
}

// Exists implements filesys.FileSystem.
func (f *fileSystem) Exists(name string) bool {
	return f.is(name, render.Regular, render.Directory, render.Special)
}

// IsDir implements filesys.FileSystem.
func (f *fileSystem) IsDir(name string) bool { return f.is(name, render.Directory) }

func (f *fileSystem) is(name string, types ...render.FileType) bool {
	p := tree.Clean(name)
	if _, ok := f.overlay[p]; ok {
		return slices.Contains(types, render.Regular)
	}
	k, err := f.tree.Type(p)
	if err != nil {
		f.fail(err)
		return false
	}
	return slices.Contains(types, k)
}

// CleanedAbs implements filesys.FileSystem.
func (f *fileSystem) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	p := tree.Clean(name)
	k, err := f.tree.Type(p)
	if err != nil {
		return "", "", f.fail(err)
	}
	if k == render.Absent {
		return "", "", fmt.Errorf("%s: %w", tree.Local(p), render.ErrNotFound)
	}
	at, err := f.tree.Resolve(p)
	if err != nil {
		return "", "", f.fail(err)
	}
	if k == render.Directory {
		return filesys.ConfirmedDir(at), "", nil
	}
	return filesys.ConfirmedDir(path.Dir(at)), path.Base(at), nil
}

// ReadDir implements filesys.FileSystem.
func (f *fileSystem) ReadDir(name string) ([]string, error) {
	entries, err := f.tree.List(tree.Clean(name))
	if err != nil {
		return nil, f.fail(err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name
	}
	return names, nil
}

// Create implements filesys.FileSystem. It always fails, like all methods that write.
func (f *fileSystem) Create(string) (filesys.File, error) { return nil, f.fail(errReadOnly) }

// Mkdir implements filesys.FileSystem.
func (f *fileSystem) Mkdir(string) error { return f.fail(errReadOnly) }

// MkdirAll implements filesys.FileSystem.
func (f *fileSystem) MkdirAll(string) error { return f.fail(errReadOnly) }

// RemoveAll implements filesys.FileSystem.
func (f *fileSystem) RemoveAll(string) error { return f.fail(errReadOnly) }

// WriteFile implements filesys.FileSystem.
func (f *fileSystem) WriteFile(string, []byte) error { return f.fail(errReadOnly) }

// Open implements filesys.FileSystem. A build reads whole files only.
func (f *fileSystem) Open(name string) (filesys.File, error) {
	return nil, f.fail(fmt.Errorf("open %s: not supported in a build", name))
}

// Glob implements filesys.FileSystem. A build has no use for it.
func (f *fileSystem) Glob(pattern string) ([]string, error) {
	return nil, f.fail(fmt.Errorf("glob %s: not supported in a build", pattern))
}

// Walk implements filesys.FileSystem. A build has no use for it.
func (f *fileSystem) Walk(name string, _ filepath.WalkFunc) error {
	return f.fail(fmt.Errorf("walk %s: not supported in a build", name))
}

// kustomizationNames are the names that a kustomization file may have, in the order of precedence.
var kustomizationNames = sync.OnceValue(konfig.RecognizedKustomizationFileNames)

// FileNames returns the names that a file for kustomize may have.
func FileNames() []string { return kustomizationNames() }

func isKustomizationFile(p string) bool {
	return slices.Contains(kustomizationNames(), path.Base(p))
}
