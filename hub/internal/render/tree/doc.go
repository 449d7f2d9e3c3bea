// Package tree reads an artifact for a render. It reads only below the artifact's root and within limits, and records
// all reads (render.Reads). A Probe reports whether the same reads of another tree would have the same results.
package tree
