// Package health assesses one object of the cluster with the statuses of kstatus
// (https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus): by the whole object, or only by its metadata
// for kinds that have no health of their own. It knows no deadlines; the caller decides how long InProgress may last.
//
// The library itself is the oracle of the tests and is not linked, because it brings all typed objects of Kubernetes.
package health
