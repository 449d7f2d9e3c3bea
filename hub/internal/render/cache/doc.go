// Package cache answers renders that were done before, in this process or in an earlier one: a render is done again
// only if its specification differs from every one before, or if something that it read of its tree does.
//
// A Rendering is one render in memory. The rows of store.Renders keep renders over restarts, in two kinds: under the
// digest of a specification the index of its variants, which is small and read often, and under variantKey each
// variant, which is large. No variant is marked as used for the last time before its index is, so that no sweep leaves
// an index without what it names.
package cache
