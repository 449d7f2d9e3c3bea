package seal

import (
	"fmt"
	"path"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// Use is the use of a SOPS file by a build.
type Use struct {
	keepMetadata bool
	whole        bundle.Format
}

var (
	// Objects is for documents that become objects. They keep the metadata of SOPS, because an object with decryption
	// disabled is shipped with it.
	Objects = Use{keepMetadata: true}
	// Fragments is for documents that become parts of objects, such as patches, or entries of a dotenv file.
	Fragments = Use{}
)

// Whole is for a file that is used as a whole, decrypted and written in a format. One placeholder replaces it.
func Whole(as bundle.Format) Use { return Use{whole: as} }

// FormatOf returns the format for the name of a file or of an entry of a Secret, by Flux's rules.
func FormatOf(name string) bundle.Format {
	switch path.Ext(name) {
	case ".yaml", ".yml":
		return bundle.YAML
	case ".json", ".dockerconfigjson":
		return bundle.JSON
	case ".env":
		return bundle.Dotenv
	case ".ini":
		return bundle.INI
	}
	return bundle.Binary
}

// File is a SOPS file that was sealed.
type File struct {
	bundle.SealedFile
	// Text is the file with placeholders in place of the encrypted leaves.
	Text []byte
	// Leaves are the encrypted leaves, or the whole file, as committed, in the order of SealedFile.Values.
	Leaves []string
	// MACs are the MACs in the metadata that Text keeps.
	MACs []string
}

// sealers has the formats with documents or entries. JSON is YAML. Files of other formats can only be used as a whole.
var sealers = map[bundle.Format]func(f *File, data []byte, salt sealed.Salt, use Use) error{
	bundle.YAML: sealYAML, bundle.JSON: sealYAML, bundle.Dotenv: sealDotenv,
}

// Seal seals one SOPS file. If the file is not a SOPS file, Seal returns nil. Placeholders depend only on the salt, the
// encrypted leaves and their paths. A document whose object is annotated with decrypt: disabled stays as it is.
func Seal(name string, data []byte, salt sealed.Salt, use Use) (*File, error) {
	format, ok := Detect(data)
	if !ok {
		return nil, nil
	}
	if err := bundle.FitsSealedFile(name, data); err != nil {
		return nil, fmt.Errorf("%w: %w; split it", render.ErrSealedLarge, err)
	}
	f := &File{SealedFile: bundle.SealedFile{Path: name, Digest: manifest.DigestOf(data), Format: format}}
	if use.whole != "" {
		sealWhole(f, data, salt, use.whole)
		return f, nil
	}
	sealer, ok := sealers[format]
	if !ok {
		return nil, fmt.Errorf("seal %s: %w: %s has no documents and no entries; name it in the files of a "+
			"secretGenerator, or encrypt it as YAML (sops encrypt --input-type yaml --output-type yaml)",
			name, render.ErrSealedFormat, format)
	}
	if err := sealer(f, data, salt, use); err != nil {
		return nil, fmt.Errorf("seal %s: %w", name, err)
	}
	return f, nil
}
