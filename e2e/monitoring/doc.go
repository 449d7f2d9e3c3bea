// Package monitoring evaluates the alerts of deploy/monitoring with the code of Prometheus. It is a module of its own,
// because Prometheus has many dependencies; e2e/reference runs its tests.
package monitoring
