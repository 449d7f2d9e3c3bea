// Package agent keeps a cluster as its last verified bundle says.
//
// One goroutine owns all state. It turns what happens into inputs, gives them to step, and performs the actions that
// step returns; work that takes time runs in goroutines that come back with another input. step is a pure function: no
// I/O, no clock, no chance. The time is an argument, and the random source is injected.
//
// The data flow of a bundle, as in the code:
//
//  1. offered    the session has an offer; receive it, in place of any that is being received
//  2. received   it was verified, fetched and stored in one transaction; its nodes are compared with what was applied
//  3. start      a node that must be applied runs as soon as its dependencies are ready at the digests of this bundle
//  4. applied    the result; success is marked on disk, failure is tried again with growing pauses
//  5. observed   the watches saw drift or health; drift is repaired at once, health decides who is ready
//  6. conclude   after every input: who is ready, who can start, what to acknowledge and report, when to look again
//
// What a bundle has no more is deleted as its deletion policy says. What is applied and did not drift costs nothing: no
// request, no write, also after a restart.
package agent
