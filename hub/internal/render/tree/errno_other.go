//go:build !unix

package tree

func isNotDirectory(error) bool { return false }
