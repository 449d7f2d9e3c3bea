package graph

import (
	"fmt"
	"maps"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/sealed"
)

// unseal adds the SOPS files to the data of an input that has placeholders, because the objects that the reader renders
// may have them, too. The spoke decrypts them with the keys of the giver, so the giver must have the same limits as the
// reader.
func (p *pass) unseal(reader api.Key, data *api.InputData, giver *Application) problem {
	placeholders := placeholdersIn(data.Data)
	if len(placeholders) == 0 {
		return problem{}
	}
	if !p.gaveInside(giver.Key).Same(p.givesInside(reader)) {
		return problem{condition.AccessDenied, fmt.Sprintf("%s: %s is encrypted, and comes from %s, whose objects run with "+
			"other rights: give it where this %s is given, with the same spec.serviceAccountName", data.Field, data.Input,
			giver.Key.Local(), reader.Kind)}
	}
	files, keys, err := p.in.Sealed(*giver)
	if err != nil {
		return problem{condition.BuildFailed, fmt.Sprintf("%s: %s from %s: %v", data.Field, data.Input,
			giver.Key.Local(), err)}
	}
	data.Decryption = keys
	for _, f := range files {
		f.Values = slices.DeleteFunc(slices.Clone(f.Values), func(v bundle.SealedValue) bool {
			return !placeholders[v.Placeholder]
		})
		if len(f.Values) > 0 {
			data.Sealed = append(data.Sealed, f)
		}
	}
	return problem{}
}

// placeholdersIn returns the placeholders in texts.
func placeholdersIn(texts map[string]string) map[string]bool {
	found := map[string]bool{}
	for text := range maps.Values(texts) {
		for _, p := range sealed.Find(text) {
			found[string(p)] = true
		}
	}
	return found
}
