//go:build !unix

package kustomize

func isNotDirectory(error) bool { return false }
