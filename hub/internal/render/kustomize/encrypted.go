package kustomize

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/internal/render/seal"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// encrypted has the facts of a build about the encrypted values in its objects.
type encrypted struct {
	salt  sealed.Salt
	files map[string]sealedFile // files of the tree by path, and files in Secrets by a name of their own
	macs  map[string]bool       // of the metadata that sealed documents keep
	// committed has the encrypted value of each placeholder, as it was committed.
	committed  map[string]string
	ciphertext map[string]bool // from fileSystem
}

func (f *fileSystem) encrypted() *encrypted {
	e := &encrypted{salt: f.salt, files: maps.Clone(f.sealed), macs: map[string]bool{}, committed: map[string]string{},
		ciphertext: f.ciphertext}
	for _, file := range f.sealed {
		for i, v := range file.Values {
			e.committed[v.Placeholder] = file.Leaves[i]
		}
		for _, mac := range file.MACs {
			e.macs[mac] = true
		}
	}
	return e
}

// settle completes the sealing of the objects, before their values are read as variables.
func (e *encrypted) settle(objects []*manifest.Object) error {
	for _, o := range objects {
		if err := e.settleOne(o); err != nil {
			return err
		}
	}
	return nil
}

// settleOne completes the sealing of one object: it removes the metadata of SOPS, and seals SOPS files in the data of a
// Secret. If the object is annotated with decrypt: disabled, settleOne keeps the metadata and restores the encrypted
// values. The annotation may come from the file or from the build.
func (e *encrypted) settleOne(o *manifest.Object) error {
	if manifest.IsDecryptionDisabled(o) {
		e.unseal(o)
		return nil
	}
	metadata, _ := o.Object["sops"].(map[string]any)
	if mac, _ := metadata["mac"].(string); e.macs[mac] {
		delete(o.Object, "sops")
	}
	if o.GetAPIVersion() == "v1" && o.GetKind() == "Secret" {
		return e.sealData(o)
	}
	return nil
}

func (e *encrypted) unseal(o *manifest.Object) {
	replaceTexts(o.Object, binaryFields(o), func(_, text string) string {
		for _, t := range sealed.Find(text) {
			if leaf, ok := e.committed[string(t)]; ok {
				text = strings.ReplaceAll(text, string(t), leaf)
			}
		}
		return text
	})
}

// sealData seals each SOPS file in the data of a Secret as a whole. Its format depends on the key, as in Flux.
func (e *encrypted) sealData(o *manifest.Object) error {
	data, _ := o.Object["data"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(data)) {
		text, _ := data[key].(string)
		content, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			continue // the API server reports the error
		}
		if _, ok := seal.Detect(content); !ok {
			continue
		}
		digest := manifest.DigestOf(content)
		name := fmt.Sprintf("data.%s of a Secret (%.19s…)", key, digest)
		file, err := seal.Seal(name, content, e.salt, seal.Whole(seal.FormatOf(key)))
		if err != nil {
			return fmt.Errorf("%s: data.%s: %w", manifest.IDOf(o), key, err)
		}
		e.files[name] = sealedFile{file, content}
		data[key] = base64.StdEncoding.EncodeToString(file.Text)
	}
	return nil
}
