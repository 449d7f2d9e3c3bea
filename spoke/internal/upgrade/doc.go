// Package upgrade changes the image of the spoke itself when a bundle names another one.
//
// The Deployment of the spoke has the strategy Recreate, so that two spokes of a cluster never apply at the same
// time. A broken image would therefore leave the cluster without a spoke. So the image is tried first, in a Pod of
// its own that has no rights and only prints its version. After that Pod succeeded, one field of one object is
// applied: the image of the container "spoke" of the Deployment nave-spoke. Otherwise the Deployment stays as it is,
// the hub is told why, and the spoke tries again later.
package upgrade
