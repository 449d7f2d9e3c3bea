// Package membership decides which cluster of which hub a spoke is. In a Secret of the cluster it keeps the state that
// must survive the loss of the spoke's disk.
//
//  1. Sources.Load reads the Settings that a join manifest brings, and Settings.Check makes Rules of them.
//  2. Secret keeps key and certificate, the last Settings that led to a session, and Marks, in the spoke's own
//     namespace.
//  3. Kept.Decide compares the given Settings with those in the Secret. The resulting Role has the Settings in use, and
//     those of the cluster that the spoke should become.
//  4. Identity takes the certificate from the Secret, or registers with the hub for a new one, but never as another
//     cluster. It renews the certificate at half of its life.
//  5. Marker acknowledges a bundle after its mark was written to the Secret.
//  6. Seed copies marks and inventories from the cluster to a disk that lacks them.
package membership
