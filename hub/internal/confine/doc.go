// Package confine runs work in confined processes, so that bad input costs one process and never the hub. A Pool in the
// hub starts processes, sends them requests over a pipe, and kills a process that needs too much time or memory.
// Packages render/worker and source/worker use it.
//
// Requests and answers are frames on standard input and output: a length in 4 bytes, big endian, and as many bytes. A
// request is answered by one frame. Its first byte tells whether an answer or a failure, as JSON, follows. A process
// has one request at a time, and is kept for the next one.
package confine
