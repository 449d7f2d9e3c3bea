// Package deploy holds the manifests that install a spoke, so that the CLI prints what this folder says and nothing
// else.
package deploy

import "embed"

// Spoke is the kustomize base of a spoke: its Namespace, RBAC and Deployment.
//
//go:embed spoke/namespace.yaml spoke/rbac.yaml spoke/deployment.yaml
var Spoke embed.FS
