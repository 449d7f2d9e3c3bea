// Package rollout decides which clusters of a Fleet may take up a change now. It is a function of values: it reads no
// clock and no store. Package release asks it, and keeps the release of a cluster until the cluster may move.
package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/navefleet/nave/shared/manifest"
)

// Strategy decides how a change moves through a Fleet. It returns the clusters that may take up their plan now; the
// other members keep their release. If the Strategy is nil, all clusters move at once.
type Strategy func(members []Member, now time.Time) (move []string)

// Member is a cluster of a Fleet.
type Member struct {
	Cluster string
	// Released and Planned are digests over the content that the Fleet gives to the cluster, in the last release and in
	// the plan. Zero: there is no content. They do not depend on controls that take effect at once, such as a suspension.
	Released, Planned manifest.Digest
}

// Waits reports whether the plan of the member differs from its release.
func (m Member) Waits() bool { return m.Released != m.Planned }

// Input holds the facts that Next decides from.
type Input struct {
	Fleet    string
	Strategy Strategy
	// Members returns every cluster of the Fleet, waiting or not, sorted by name. Members may be expensive. It is called
	// only if there is a Strategy.
	Members func() ([]Member, error)
	Now     time.Time
}

// Decision is the result of Next for a Fleet.
type Decision struct {
	All  bool     // every cluster moves
	Move []string // if not All: the clusters that move
}

// Moves reports whether a cluster may take up its plan.
func (d Decision) Moves(cluster string) bool { return d.All || slices.Contains(d.Move, cluster) }

// Next decides which clusters move next. The error is that of Members.
func Next(in Input) (Decision, error) {
	if in.Strategy == nil {
		return Decision{All: true}, nil
	}
	members, err := in.Members()
	if err != nil {
		return Decision{}, fmt.Errorf("list the clusters of Fleet %s: %w", in.Fleet, err)
	}
	return Decision{Move: in.Strategy(members, in.Now)}, nil
}
