// Package decrypt opens SOPS files with keys that never leave the cluster. It is the only package of Nave in which a
// workload's secret becomes plaintext.
//
// Of sops itself only Shamir's scheme is linked. Its root package brings the SDKs of five clouds and two databases,
// opens /etc/sops/audit.yaml at start, panics on a leaf of type bytes, and quotes values in its errors. It is the
// oracle of the tests: FuzzWalk compares trees, MACs and errors with it, and TestText whole files, byte by byte. Keys
// come only from a Secret: no environment, no home directory, no gpg, no age plugin.
//
// Open takes five steps:
//
//  1. parse the documents into trees that keep order and comments, because both matter to the rules and the MAC
//  2. take the sops metadata out of the trees
//  3. decrypt the part of the data key of each key group with the age and OpenPGP keys, or let the key service do that,
//     and combine the parts by Shamir's scheme if there are several groups
//  4. decrypt the trees in place and compute the MAC
//  5. compare the MAC; without a match there is no plaintext
//
// No error of this package holds a value, neither plaintext nor ciphertext. Errors name paths of keys, and recipients.
package decrypt
