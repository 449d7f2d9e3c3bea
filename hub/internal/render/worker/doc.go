// Package worker renders in processes of its own, so that a bad tree costs one worker and never the hub: a Pool in the
// hub starts the hub's own binary again, sends it requests over a pipe and kills it when it takes too long or too much.
//
// The wire is frames on standard input and output: a length in 4 bytes, big endian, and so many bytes of JSON. One
// request is answered by one response; a worker has one request at a time.
package worker
