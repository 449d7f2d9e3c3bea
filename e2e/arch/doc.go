// Package arch holds the house to its plan: its tests read the import graph and fail when a package reaches upwards,
// says nothing about itself, or when a binary links a module that nobody reviewed.
package arch
