package bundle

// Features returns the features that the application uses, beyond Baseline.
func (a *Application) Features() FeatureSet {
	for _, f := range a.SealedFiles {
		if f.usesSealedFiles() {
			return sealedFiles
		}
	}
	return ""
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
