// Package decrypt opens SOPS files with keys that never leave the cluster. It is the only place of Nave where a
// workload's secret becomes plaintext, and the only importer of sops.
//
// Of sops itself only the Shamir arithmetic is linked. The walk over a document, the rules that say which leaf is
// encrypted, the cipher and the MAC are written here, after sops v3.13.3, and held to it by tests that encrypt with the real library.
// Three reasons: sops's root package links every cloud SDK (16 MiB of binary, 12 MiB of resident memory); its cipher
// panics on a leaf of type bytes; and its errors quote the values that they complain about.
//
// The steps of Open, as in the code:
//
//  1. parse the YAML documents into trees that keep order and comments, because both matter to the rules and the MAC
//  2. take the sops metadata out of them
//  3. recover the data key with the age and OpenPGP keys given, for each key group, by Shamir's scheme if there are several
//  4. decrypt every leaf that the rules say is encrypted, feeding the MAC
//  5. compare the MAC; without a match there is no plaintext
//
// No error of this package holds a value, be it plaintext or ciphertext. Errors name files' key paths and recipients.
package decrypt
