// Package helm fetches charts.
//
// A HelmRepository with an index becomes an artifact of small files, one for each chart: index.yaml is read as a stream
// and only what names and locates versions is kept. The index is fetched once for all charts of a repository. A
// HelmRepository of type oci asks no server.
//
// A HelmChart becomes the unpacked chart, below a folder named like the chart. Its revision is the version of the
// chart. Where it comes from depends on its source:
//
//   - a HelmRepository with an index: the version is chosen from the artifact of the HelmRepository, one archive is
//     downloaded, and its digest is compared with that of the index
//   - a HelmRepository of type oci: the fetcher of OCIRepositories chooses the tag, verifies signatures and pulls the
//     layer with the archive
//   - any other source: a folder or an archive of its artifact
//
// Credentials are those of the HelmRepository. They go to its origin only, unless spec.passCredentials says otherwise
// and the Secret is bound to no hosts, or to the other one.
package helm
