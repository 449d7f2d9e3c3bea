package kustomize

import (
	"github.com/navefleet/nave/hub/internal/render/seal"
	"github.com/navefleet/nave/hub/internal/render/tree"
)

// use is what the kustomization files of a build name a file for. It decides what stands for a SOPS file.
type use int

const (
	asObjects   use = iota // resources
	asFragment             // a patch, a generator's source, configuration of kustomize itself
	asCommitted            // a source of a configMapGenerator: it stays ciphertext, as in Flux
)

// useOf returns how a field of a kustomization file uses the files that it names.
func useOf(field string) use {
	switch field {
	case "resources":
		return asObjects
	case "configMapGenerator":
		return asCommitted
	}
	return asFragment
}

// note records that a kustomization file names the file at p. A file that a configMapGenerator names is never decrypted
// by the build: its plaintext would stand in a ConfigMap.
func (f *fileSystem) note(p string, as use) error {
	if as == asObjects {
		return nil
	}
	at, err := f.tree.Resolve(p)
	if err != nil {
		return err
	}
	f.uses[at] = max(f.uses[at], as)
	return nil
}

// seal returns what the build reads in the place of a SOPS file.
func (f *fileSystem) seal(p string, data []byte) ([]byte, error) {
	at, err := f.tree.Resolve(p)
	if err != nil {
		return nil, f.fail(err)
	}
	how := seal.Objects
	switch f.uses[at] {
	case asFragment:
		how = seal.Fragments
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
