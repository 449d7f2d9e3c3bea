// Package seal turns a SOPS file into one that the hub can render: it replaces each encrypted leaf by a placeholder of
// shared/sealed, and removes the sops metadata. It has no key and links no SOPS code; it only reads the format of SOPS.
// See https://getsops.io/docs/ and the README of github.com/getsops/sops, "Encryption Protocol".
package seal
