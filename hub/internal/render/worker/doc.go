// Package worker renders in confined processes, so that a bad tree costs one process and never the hub.
package worker
