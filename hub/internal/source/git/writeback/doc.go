// Package writeback carries out the runs of ImageUpdateAutomations: it writes the images that policies have chosen into
// the files of a Git repository, and opens pull requests of its commits.
//
// A run takes these steps, each in the file of its name:
//
//  1. plan: find out what to check out, and which references become the commit.
//  2. update: change the marked values in the files of the checkout (package image). Only files with a marker are
//     parsed; which contents have none is remembered.
//  3. message: make the commit message of the changes.
//  4. push: decide which references have to move, and push the commit. If somebody else was faster, the run begins
//     again with the new head; what it does with one head is an attempt.
//  5. proposals: if there is a pull request for each policy, make and push a commit for each.
//  6. review: list the open pull requests before, ask what people have declined, and open, rewrite and close afterwards
//     (package forge).
//
// The artifact of a run is one file, run, that says what was changed. Its revision is the commit that was pushed
// last, of several with pull requests for each policy. A run that would change nothing pushes nothing, so it may be
// repeated at any time.
package writeback
