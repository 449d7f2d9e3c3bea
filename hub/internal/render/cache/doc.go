// Package cache remembers renders, of this process and of earlier ones. It renders again only if the specification is
// new, or if a file or directory that the render read has changed.
//
// A Rendering is one render in memory. The rows of store.Renders keep renders over restarts. There are two kinds of
// rows: under the digest of a specification the index of its variants, which is small and read often, and under
// variantKey each variant, which is large. A variant is always marked as used at the same time as its index or later,
// so that no sweep deletes a variant before its index.
package cache
