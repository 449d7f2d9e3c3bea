package seal

import (
	"fmt"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// Use is what a build makes of a SOPS file.
type Use int

const (
	// Objects are documents that become objects. They keep the metadata of SOPS: an object that is not to be decrypted is
	// shipped with it.
	Objects Use = iota
	// Fragments are documents that become parts of objects, such as patches.
	Fragments
)

// File is a SOPS file that was sealed.
type File struct {
	bundle.SealedFile
	// Text is the file with placeholders in place of the encrypted leaves.
	Text []byte
	// Leaves are the encrypted leaves, in the order of SealedFile.Values.
	Leaves []string
	// MACs are those in the metadata that Text keeps.
	MACs []string
}

// sealers hold the formats that can be sealed. The others are known, so that they are refused and never shipped.
var sealers = map[bundle.Format]func(f *File, data []byte, salt sealed.Salt, use Use) error{
	bundle.YAML: sealYAML,
}

// Seal seals one SOPS file. If the file is not of SOPS, Seal returns nil. Placeholders depend only on the salt, the
// encrypted leaves and their paths. A document whose object is annotated with decrypt: disabled stays as it is.
func Seal(path string, data []byte, salt sealed.Salt, use Use) (*File, error) {
	format, ok := Detect(data)
	if !ok {
		return nil, nil
	}
	if err := bundle.FitsSealedFile(path, data); err != nil {
		return nil, fmt.Errorf("%w: %w; split it", render.ErrSealedLarge, err)
	}
	sealer, ok := sealers[format]
	if !ok {
		return nil, fmt.Errorf("seal %s: %w: %s; encrypt it as YAML (sops encrypt --input-type yaml --output-type yaml)",
			path, render.ErrSealedFormat, format)
	}
	f := &File{SealedFile: bundle.SealedFile{Path: path, Digest: manifest.DigestOf(data), Format: format}}
	if err := sealer(f, data, salt, use); err != nil {
		return nil, fmt.Errorf("seal %s: %w", path, err)
	}
	return f, nil
}
