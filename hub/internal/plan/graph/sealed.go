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
	if err == nil {
		err = p.checkPlain(data, giver)
	}
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

// checkPlain refuses a Secret with encrypted base64: its placeholders stand for that, and not for the values.
func (p *pass) checkPlain(data *api.InputData, giver *Application) error {
	o, err := p.in.Object(*giver, data.ID())
	if err != nil || data.Kind != "Secret" {
		return err
	}
	encoded, _ := o.Object["data"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(encoded)) {
		if text, ok := encoded[key].(string); ok && sealed.Placeholder(text).Valid() && data.Data[key] == text {
			return fmt.Errorf("data.%s is encrypted base64: write the value into stringData, and encrypt the file again", key)
		}
	}
	return nil
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
