// Package decrypt opens SOPS files with keys that never leave the cluster. It is the only place of Nave where a
// workload's secret becomes plaintext, and the only importer of sops.
//
// The walk over a tree, the rules that say which leaf is encrypted, the cipher and the MAC are sops's own. What is
// written here: reading YAML, because sops/stores links every cloud SDK for real; the keys, because they come from a
// Secret and from nowhere else (no environment, no home directory, no gpg, no age plugin); and a guard around sops's
// cipher, which panics on a leaf of type bytes and quotes values in its errors.
//
// The binary must be built with -tags grpcnotrace: without it the linker keeps every method of what sops's root package
// touches, 7 MiB more (30.7 MiB in place of 23.9) and 5 MiB of idle memory.
//
// Importing sops's root package opens /etc/sops/audit.yaml at start (its audit package does): the image must not have
// one.
//
// The steps of Open, as in the code:
//
//  1. parse the YAML documents into trees that keep order and comments, because both matter to the rules and the MAC
//  2. take the sops metadata out of them
//  3. recover the data key with the age and OpenPGP keys given, for each key group, by Shamir's scheme if there are
//     several
//  4. let sops decrypt the trees in place and sum up the MAC
//  5. compare the MAC; without a match there is no plaintext
//
// No error of this package holds a value, be it plaintext or ciphertext. Errors name files' key paths and recipients.
package decrypt
