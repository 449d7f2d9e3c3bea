// Package generate makes the values that charts generate, such as passwords and certificates, in the cluster: the hub
// sends recipes and never sees a value.
//
// A Search looks for the values that the cluster has already, because a release keeps its passwords. What is not found
// is made. Values have no text form, and errors quote none.
package generate
