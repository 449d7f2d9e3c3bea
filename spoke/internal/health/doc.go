// Package health assesses one object of the cluster with the statuses of kstatus
// (https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus): by the whole object, or only by its metadata
// for kinds that have no health of their own. The library is the oracle of the tests and is not linked: it brings the
// typed API of Kubernetes, 3 MiB of code, for the names of three constants. It knows no deadlines; the caller decides how long InProgress may last.
package health
