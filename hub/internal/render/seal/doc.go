// Package seal turns a SOPS file into one the hub can render: each encrypted leaf becomes a placeholder of
// shared/sealed, and the sops metadata goes. It holds no key and links no SOPS code; it reads the format that SOPS
// writes. See https://getsops.io/docs/ and the README of github.com/getsops/sops, "Encryption Protocol".
package seal
