// Package confine does work in processes of its own, so that bad input costs one process and never the hub: a Pool in
// the hub starts the hub's own binary again, sends it requests over a pipe and kills it when it takes too long or too
// much. Rendering and fetching stand on it.
//
// The wire is frames on standard input and output: a length in 4 bytes, big endian, and so many bytes. A request is
// answered by one frame, whose first byte says whether the answer or a Failure in JSON follows. A process has one
// request at a time, and is kept for the next one.
package confine
