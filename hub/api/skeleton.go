package api

import (
	"errors"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/navefleet/nave/shared/manifest"
)

// Scope is where an object is written: in the hub's own state or in one cluster's graph.
type Scope int

// The scopes.
const (
	Hub          Scope = iota // Clusters, Fleets, sources, Kustomizations of the hub's root
	ClusterGraph              // sources and Kustomizations
)

// Kind is one kind of object that the hub knows.
type Kind struct {
	Name       string // GitRepository
	Plural     string // gitrepositories
	Short      string // gitrepo; empty: none
	Group      string
	Version    string // the one that Nave stores
	Namespaced bool
}

var errSkeleton = errors.New("not there yet")

// Admit checks.
func Admit(o *manifest.Object, scope Scope) (*manifest.Object, error) { return nil, errSkeleton }

// Known reports.
func Known(o *manifest.Object) bool { return false }

// KindByName finds.
func KindByName(s string) (Kind, bool) { return Kind{}, false }

// AsGitRepository converts.
func AsGitRepository(o *manifest.Object) (*sourcev1.GitRepository, error) { return nil, errSkeleton }

// AsKustomization converts.
func AsKustomization(o *manifest.Object) (*kustomizev1.Kustomization, error) { return nil, errSkeleton }

// AsCluster converts.
func AsCluster(o *manifest.Object) (*Cluster, error) { return nil, errSkeleton }

// AsFleet converts.
func AsFleet(o *manifest.Object) (*Fleet, error) { return nil, errSkeleton }

// SourceKey digests.
func SourceKey(g *sourcev1.GitRepository) string { return "" }

// ExpandTemplate expands.
func ExpandTemplate(f *Fleet, c *Cluster) (*manifest.Object, error) { return nil, errSkeleton }

// Selects reports.
func (f *Fleet) Selects(c *Cluster) (bool, error) { return false, errSkeleton }
