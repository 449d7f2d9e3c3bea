// Package health says how an object of the cluster is doing, in the words of kstatus
// (https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus): it looks at one whole object, or only at its
// metadata for kinds that have no health of their own. It decides no deadlines; how long InProgress may last is the
// caller's.
package health
