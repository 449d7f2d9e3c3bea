// Package stages moves changes through the stages of Fleets that have a rollout: package rollout decides, and this
// package reads the facts before and writes the rows after. A store.Turn lets a cluster take up content; package
// publish releases nothing else of such a Fleet.
//
// The loop reads all Clusters, Fleets and clusters' rows once, and then those that change. While no Fleet has a rollout
// it keeps nothing. It decides at most ten times a second, and takes at most a twentieth of the time.
package stages
