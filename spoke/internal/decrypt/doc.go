// Package decrypt opens SOPS files with keys that never leave the cluster.
package decrypt
