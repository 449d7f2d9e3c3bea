// Package decrypt opens SOPS files with keys that never leave the cluster. It is the only package of Nave in which an
// encrypted value becomes plaintext, and the only importer of sops. Values that a chart generates are made in package
// generate.
//
// The walk over a tree, the rules that select the encrypted leaves, the cipher and the MAC are sops's own. This package
// adds three things: it reads and writes the formats of SOPS, because sops/stores links the SDK of every cloud; it
// reads keys, because they come only from a Secret (no environment, no home directory, no gpg, no age
// plugin); and it guards sops's cipher, which panics on a leaf of type bytes and quotes values in its errors.
//
// The binary must be built with -tags grpcnotrace: without it the linker keeps every method of the types that sops's
// root package uses, 7 MiB more (30.7 MiB in place of 23.9) and 5 MiB of idle memory.
//
// Importing sops's root package opens /etc/sops/audit.yaml at start (its audit package does): the image must not have
// one.
//
// Open takes five steps:
//
//  1. parse the documents into trees that keep order and comments, because both matter to the rules and the MAC
//  2. take the sops metadata out of the trees
//  3. decrypt the part of the data key of each key group with the age and OpenPGP keys, or let the key service do that,
//     and combine the parts by Shamir's scheme if there are several groups
//  4. let sops decrypt the trees in place and compute the MAC
//  5. compare the MAC; without a match there is no plaintext
//
// No error of this package holds a value, neither plaintext nor ciphertext. Errors name paths of keys, and recipients.
package decrypt
