package store

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/navefleet/nave/hub/internal/rollout"
)

// Rollout is a change on its way through a Fleet, or one that has ended. Its key is RolloutKey. Package stages writes
// it, and package admin when an operator decides about it.
type Rollout struct {
	rollout.Rollout
	// Revision is what most clusters get, for people to read.
	Revision string `json:"revision,omitempty"`
}

// RolloutKey returns the key of a rollout of a Fleet. Those of a Fleet are in the order of their numbers.
func RolloutKey(fleet string, number uint64) string { return fmt.Sprintf("%s/%020d", fleet, number) }

// LatestRollout returns the newest rollout of a Fleet. If there was none, LatestRollout returns false. Of a damaged row
// only the number is known: the stages are gone through again, and what operators decided about it is lost.
func LatestRollout(tx *Tx, fleet string) (latest Rollout, ok bool, err error) {
	err = Rollouts.ScanApart(tx, fleet+"/", func(_ string, row Rollout) error {
		latest, ok = row, true
		return nil
	}, func(key string, _ error) error {
		number, err := strconv.ParseUint(strings.TrimPrefix(key, fleet+"/"), 10, 64)
		latest = Rollout{Rollout: rollout.Rollout{Number: number, Phase: rollout.Progressing}}
		ok = err == nil
		return err
	})
	return latest, ok, err
}

// Turn is how far a cluster has come with the rollouts of a Fleet, and what it may run. Its key is TurnKey. Package
// stages writes it, and package admin when an operator decides about the cluster.
type Turn struct {
	rollout.Progress
	// Before is the content that a rollback restores, of the digest Previous.
	Before []Content `json:"before,omitempty"`
}

// TurnKey returns the key of a cluster's Turn of a Fleet.
func TurnKey(cluster, fleet string) string { return OfCluster(cluster) + fleet }
