// Package helm renders charts as Helm does, without a network, a clock, an environment or a cluster. An Engine turns a
// chart, values and capabilities into texts. Everything after that is the package's own: the package splits the texts,
// sorts objects and hooks, and parses them.
//
// No package outside of this one names a type of Helm's library, so that another Engine can take the place of V3.
package helm
