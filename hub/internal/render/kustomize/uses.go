package kustomize

import (
	"slices"

	"github.com/navefleet/nave/hub/internal/render/seal"
	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/shared/bundle"
)

// use is the use of a file by the kustomization files of a build. It decides how a SOPS file is sealed.
type use struct {
	kind useKind
	as   bundle.Format // of asWhole
}

type useKind int

const (
	asObjects   useKind = iota // resources
	asFragment                 // a patch, the envs of a secretGenerator, configuration of kustomize itself
	asWhole                    // the files of a secretGenerator
	asCommitted                // a source of a configMapGenerator: it stays ciphertext, as in Flux
)

// useOf returns how a field of a kustomization file uses the files that it names.
func useOf(field string) use {
	switch field {
	case "resources":
		return use{kind: asObjects}
	case "configMapGenerator":
		return use{kind: asCommitted}
	}
	return use{kind: asFragment}
}

// secretFile returns how a secretGenerator uses one of its files: "path", or "key=path" with the key of the Secret. The
// extension of the key decides the format, as in Flux.
func secretFile(source string) use {
	key, _ := splitSource(source)
	return use{asWhole, seal.FormatOf(key)}
}

// note records that a kustomization file names the file at p. If a configMapGenerator names a file, it stays
// ciphertext, because its plaintext would be in a ConfigMap. If several keys of a Secret name one file, the first
// decides the format, as in Flux. If a file has several uses, its values are sealed one by one.
func (f *fileSystem) note(p string, u use) error {
	if u.kind == asObjects {
		return nil
	}
	at, err := f.tree.Resolve(p)
	if err != nil {
		return err
	}
	before, known := f.uses[at]
	switch {
	case !known:
		f.uses[at] = u
	case before.kind == asCommitted || u.kind == asCommitted:
		f.uses[at] = use{kind: asCommitted}
	case before.kind != u.kind:
		f.uses[at] = use{kind: asFragment}
	}
	return nil
}

// seal returns the sealed content of a SOPS file, which the build reads in place of the file.
func (f *fileSystem) seal(p string, data []byte) ([]byte, error) {
	at, err := f.tree.Resolve(p)
	if err != nil {
		return nil, f.fail(err)
	}
	how := seal.Objects
	switch u := f.uses[at]; u.kind {
	case asFragment:
		how = seal.Fragments
	case asWhole:
		if how = seal.Whole(u.as); slices.Contains(f.resources, p) {
			how = seal.Fragments
		}
	case asCommitted:
		for _, leaf := range seal.LeavesIn(data) {
			f.ciphertext[leaf] = true
		}
		return data, nil
	}
	file, err := seal.Seal(tree.Local(p), data, f.salt, how)
	if err != nil {
		return nil, f.fail(err)
	}
	f.sealed[p] = sealedFile{file, data}
	return file.Text, nil
}
