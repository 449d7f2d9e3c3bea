// Package agent keeps a cluster as its last verified bundle describes it.
//
// One goroutine owns all state. It turns events into inputs, gives them to step, and performs the actions that step
// returns. Work that takes time runs in other goroutines, whose results are inputs again. step is a pure function: no
// I/O, no clock, no chance. The time is an argument, and the random source is injected.
//
// The data flow of a bundle, as in the code:
//
//  1. offered    the session has an offer; receive it, in place of any that is being received
//  2. received   it was verified, fetched and stored in one transaction; its nodes are compared with their marks
//  3. start      a node that must be applied runs as soon as its dependencies are ready at the digests of this bundle
//  4. applied    the result; success is marked on disk, failure is tried again with growing pauses
//  5. observed   the watches saw drift or health; drift is repaired at once, health decides which nodes are ready
//  6. conclude   after every input: judge nodes, start those that are due, acknowledge, report, arm the timer
//
// An application that left the bundle is deleted according to its deletion policy. An application that is applied and
// did not drift causes no request and no write, also after a restart.
package agent
