// Package kustomize builds one Flux Kustomization from one artifact, as Flux's kustomize-controller does. Builds are
// hermetic: the result depends only on the files below the artifact's root and on the request.
//
// The steps of a build are:
//
//  1. confine   read every file through package tree, which refuses paths outside of the root and records the reads
//  2. seal      replace the encrypted values of SOPS files by placeholders (filesystem.go, package seal)
//  3. generate  make the kustomization file that Flux would write, in memory (generate.go)
//  4. build     run kustomize itself, one build at a time in a process (krusty.go), on fewer and larger files (join.go)
//  5. finish    substitution, common metadata, owner labels, checks, order (finish.go, substitute.go)
//  6. compare   if a value was sealed, repeat steps 1 to 5 with another salt: only placeholders may differ (compare.go)
package kustomize
