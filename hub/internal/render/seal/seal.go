package seal

import (
	"fmt"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// sealers hold the formats that can be sealed. The others are known, so that they are refused and never shipped.
var sealers = map[bundle.Format]func(data []byte, salt sealed.Salt) ([]byte, []bundle.SealedValue, error){
	bundle.YAML: sealYAML,
}

// Seal seals one SOPS file. text is the file with placeholders in place of the encrypted leaves and without the
// metadata of SOPS; file lists every placeholder. If the file is not of SOPS, file is nil and text is data.
// Placeholders depend only on the salt, the encrypted leaves and their paths.
func Seal(path string, data []byte, salt sealed.Salt) (text []byte, file *bundle.SealedFile, err error) {
	format, ok := Detect(data)
	if !ok {
		return data, nil, nil
	}
	if err := bundle.FitsSealedFile(path, data); err != nil {
		return nil, nil, fmt.Errorf("%w: %w; split it", render.ErrSealedLarge, err)
	}
	sealer, ok := sealers[format]
	if !ok {
		return nil, nil, fmt.Errorf("seal %s: %w: %s; encrypt it as YAML (sops encrypt --input-type yaml --output-type yaml)",
			path, render.ErrSealedFormat, format)
	}
	text, values, err := sealer(data, salt)
	if err != nil {
		return nil, nil, fmt.Errorf("seal %s: %w", path, err)
	}
	return text, &bundle.SealedFile{Path: path, Digest: manifest.DigestOf(data), Format: format, Values: values}, nil
}
