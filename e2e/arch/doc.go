// Package arch keeps the layers of the code: its tests read the import graph and fail when a package reaches upwards,
// says nothing about itself, or when a binary links a module that nobody reviewed.
package arch
