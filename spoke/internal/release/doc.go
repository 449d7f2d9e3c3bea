// Package release keeps releases of Helm on a spoke: their records in Helm's storage format, without Helm's code.
//
// A record is a Secret that holds one revision of a release. The commands of helm list, show, roll back and uninstall
// what the package writes, and the package reads what Helm and Flux wrote.
//
//   - Record is one revision: DecodeRecord and Encode.
//   - Storage holds the records of one release in a cluster. Its history is read from the labels of the Secrets alone.
//   - Surplus decides which records a limited history gives up.
//   - Decide is a function of values: of the release as it should be, as it is, and of the journal of what was done. It
//     returns the next action. Journal.Begin and Journal.End note what an action came to.
//   - HookRunner runs hooks.
//   - Executor carries out one action, step by step; Run, one after the other until nothing is left to do now. After a
//     kill the next Executor goes on with the step.
//
// Records hold plaintext of secrets, as Helm's do. A Record has no text form, and is never reported.
package release
