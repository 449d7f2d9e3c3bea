// Package trust decides whether received bytes are a Bundle that this spoke may carry out, and which objects the bundle
// may touch. Its functions have no I/O and no clock.
//
// Open checks in this order and returns the first failure:
//
//  1. Is it an envelope?                                  ErrMalformed
//  2. Did a key of the keyring sign exactly these bytes?   ErrSignature
//  3. Is the payload of the type Bundle, and well-formed?  ErrSignature (payload type), ErrMalformed
//  4. Is it for this cluster?                              ErrCluster
//  5. Is it newer than the last one, or the last one?      ErrOlder, ErrFork
//  6. Was it issued by now, and has it not expired?        ErrFuture, ErrExpired
//
// A bundle that fails only the last check may be trusted later, because a wrong clock can be corrected.
//
// Before the signature is verified, only the envelope is parsed.
package trust
