// Package image chooses tags of images and writes chosen images into YAML files. A Rule chooses one of the tags of a
// repository, as the spec of an ImagePolicy says. Update replaces the scalars that are marked with a policy in a file,
// and keeps every other byte. The package decides purely: tags, files and images are passed in.
package image
