package kustomize

import (
	"strings"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// encrypted is what a build knows of the SOPS files that it read.
type encrypted struct {
	macs map[string]bool // of the metadata that sealed documents keep
	// committed holds what each placeholder stands for, as it was committed.
	committed  map[string]string
	ciphertext map[string]bool // as fileSystem has it
}

func (f *fileSystem) encrypted() *encrypted {
	e := &encrypted{macs: map[string]bool{}, committed: map[string]string{}, ciphertext: f.ciphertext}
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

// settle ends the sealing of one object: the metadata of SOPS goes. If the object is annotated with decrypt: disabled,
// the metadata stays and the encrypted values come back. The annotation may come from the file or from the build.
func (e *encrypted) settle(o *manifest.Object) {
	if !manifest.IsDecryptionDisabled(o) {
		metadata, _ := o.Object["sops"].(map[string]any)
		if mac, _ := metadata["mac"].(string); e.macs[mac] {
			delete(o.Object, "sops")
		}
		return
	}
	_ = mapTexts(o.Object, "", binaryFields(o), func(_, text string) (string, error) {
		for _, t := range sealed.Find(text) {
			if leaf, ok := e.committed[string(t)]; ok {
				text = strings.ReplaceAll(text, string(t), leaf)
			}
		}
		return text, nil
	})
}
