// Package kustomize builds what one Flux Kustomization names in one artifact, as Flux's kustomize-controller does, and
// hermetically: the result is a function of the files below the artifact's root and of the request alone.
//
// A build is these steps:
//
//  1. confine   every file is read through package tree, which refuses what leaves the root and records what was read
//  2. seal      a SOPS file that is read turns into placeholders on its way (filesystem.go, package seal)
//  3. generate  the kustomization file that Flux would write, in memory (generate.go)
//  4. build     kustomize itself, one build at a time in a process (krusty.go)
//  5. finish    substitution, common metadata, owner labels, checks, order (finish.go, substitute.go)
//  6. compare   if something was sealed: steps 1 to 5 with another salt, equal but for the placeholders (compare.go)
package kustomize
