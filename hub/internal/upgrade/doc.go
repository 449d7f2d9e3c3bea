// Package upgrade decides which spokes take up another image now. Clusters and Fleets name the images (spec.spoke),
// package rollout decides, and package publish puts the image of a store.Upgrade into the bundle of its cluster.
//
// The loop reads the Clusters and Fleets once and then those that change, and the rows of spokes while an image is
// wanted. It decides at most once a second, and takes at most a twentieth of the time.
package upgrade
