// Package image chooses tags of images. A Rule chooses one of the tags of a repository, as the spec of an ImagePolicy
// says. The package decides purely: tags are passed in.
package image
