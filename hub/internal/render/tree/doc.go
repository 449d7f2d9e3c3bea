// Package tree reads an artifact on behalf of a render: nothing outside of the artifact's root, within limits, and with
// a record of all that was read (render.Reads). A Probe tells whether another tree would be read as exactly the same.
package tree
