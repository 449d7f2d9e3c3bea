// Package trust decides whether bytes that came from outside are a Bundle that this spoke may carry out, and which
// objects of it. Both are functions of values: no I/O, no clock.
//
// Open asks, in this order, and the first "no" is the answer:
//
//  1. Is it an envelope?                                  ErrMalformed
//  2. Did a key of the keyring sign exactly these bytes?   ErrSignature
//  3. Do they say Bundle, and are they one?                ErrSignature (payload type), ErrMalformed
//  4. Is it for this cluster?                              ErrCluster
//  5. Is it newer than the last one, or the last one?      ErrOlder, ErrFork
//  6. Was it issued by now, and has it not expired?        ErrFuture, ErrExpired
//
// A bundle that is refused by the last question alone may be trusted later: a clock that is wrong is set right.
//
// Nothing is parsed beyond the envelope before its signature was verified.
package trust
