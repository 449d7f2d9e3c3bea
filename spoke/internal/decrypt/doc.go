// Package decrypt opens SOPS files with keys that never leave the cluster. It is the only place of Nave where a
// workload's secret becomes plaintext, and the only importer of sops.
//
// Of sops itself only the Shamir arithmetic is linked. The walk over a document, the rules that say which leaf is
// encrypted, the cipher and the MAC are written here, after sops v3.13.3, and held to it by tests that encrypt with the real library.
// The reason is weight. With sops's root package for the walk, the rules and the MAC, and its aes package, the same tests
// passed, and nave-spoke was measured (linux/amd64, CGO_ENABLED=0, -trimpath, -ldflags "-s -w", e2e/bench -only spoke):
//
//	                       as it is       with sops      aim
//	binary                 25.2 MiB       30.7 MiB       30 MiB
//	resident memory, idle  26.5–27.0 MiB  32.4–32.9 MiB  32 MiB
//	modules linked         48             124
//	1,000 values, no rule  14 ms          19 ms                 (fastest of a dozen runs)
//	1,000 values, a regex  15 ms          27 ms
//
// The root package imports the client of every cloud's KMS, and what those set up at start is linked and run. Its audit package
// opens /etc/sops/audit.yaml at start, and may end the process over what it finds there. Its cipher panics on a leaf of type
// bytes, and its errors and log quote values, so all of it needs a guard.
//
// What would change this: -tags grpcnotrace lets the linker drop methods that nobody calls. Built with it, nave-spoke is 20.6 MiB as it
// is and 23.9 with sops, and 23.4–23.9 and 26.9–28.4 MiB of idle memory.
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
