// Package rollout decides which clusters of a Fleet may take up a change now. It is a function of values: it reads no
// clock and no store. Package release asks it, and keeps what a cluster runs until it may move.
package rollout

import (
	"time"

	"github.com/navefleet/nave/shared/manifest"
)

// Strategy is how a change goes through a Fleet. There is one: all clusters move at once.
type Strategy struct{}

// Member is a cluster whose plan of the Fleet differs from what was released to it.
type Member struct {
	Cluster string
	// Released and Planned are digests over what the Fleet gives to the cluster: as it was released last, and as the plan
	// says now. They do not depend on what takes effect at once, such as a suspension.
	Released, Planned manifest.Digest
}

// Input is what Next decides from.
type Input struct {
	Fleet    string
	Strategy Strategy
	Waiting  []Member // sorted by cluster
	Now      time.Time
}

// Decision is what Next decided.
type Decision struct {
	// Move are the clusters that may take up what is planned now, sorted. The others keep what was released to them.
	Move []string
}

// Next returns who moves next. With the only Strategy everyone who waits moves.
func Next(in Input) Decision {
	var d Decision
	for _, m := range in.Waiting {
		d.Move = append(d.Move, m.Cluster)
	}
	return d
}
