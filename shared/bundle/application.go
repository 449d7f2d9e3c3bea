package bundle

import "slices"

// Features returns the features that the application uses, beyond Baseline.
func (a *Application) Features() FeatureSet {
	var used []string
	if slices.ContainsFunc(a.SealedFiles, SealedFile.usesSealedFiles) {
		used = append(used, sealedFiles)
	}
	if a.Substitution != nil {
		used = append(used, substitution)
	}
	if len(a.HealthExpressions) > 0 {
		used = append(used, healthExpressions)
	}
	if len(a.ReadyExpressions) > 0 {
		used = append(used, readyExpressions)
	}
	if a.Decryption.Namespace != "" && a.Decryption.Name == "" {
		used = append(used, keyService)
	}
	if len(a.Ignore) > 0 {
		used = append(used, ignore)
	}
	if a.Release != nil {
		used = append(used, helmRelease)
		if len(a.Release.Defaults) > 0 {
			used = append(used, chartDefaults)
		}
	}
	if a.Release != nil && len(a.Release.Recipes) > 0 {
		used = append(used, recipes)
	}
	if len(a.ValueSources) > 0 {
		used = append(used, shapes)
	}
	return setOf(used)
}

// usesSealedFiles reports whether a spoke must know the feature sealed-files to open the file.
func (f SealedFile) usesSealedFiles() bool {
	if f.Format != YAML || f.Parts {
		return true
	}
	for _, v := range f.Values {
		if v.Text != "" {
			return true
		}
	}
	return false
}
