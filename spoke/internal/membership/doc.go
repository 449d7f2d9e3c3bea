// Package membership decides who a spoke is: the cluster of a hub that it speaks for. It keeps what must survive the
// loss of the spoke's disk.
//
//  1. Sources.Load reads the Settings that a join manifest brings, and Settings.Check makes Rules of them.
//  2. Secret keeps key and certificate, the last Settings that led to a session, and Marks, in the spoke's own
//     namespace.
//  3. Kept.Decide compares the Settings that are given with what the Secret keeps: the Role says who the spoke is, and
//     who it is to become.
//  4. Identity takes the certificate from the Secret, or registers with the hub for one, but not as another cluster; it
//     is renewed at half of its life.
//  5. Marker acknowledges a bundle when its mark is in the Secret, and not before.
//  6. Seed puts on a disk what only the cluster knows.
package membership
