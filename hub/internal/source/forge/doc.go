// Package forge opens pull requests (merge requests of GitLab) on the servers that people review on: GitHub, GitLab,
// Gitea and Forgejo, Bitbucket Cloud, Bitbucket Data Center and Azure DevOps, each by its REST API.
//
// Sync keeps the requests of one owner as they should be: it opens what is missing, rewrites what has changed, and
// closes what is not wanted any more. A line in the description that no page shows tells whose a request is. Requests
// from forks are never touched.
package forge
