package store

import (
	"errors"
	"fmt"

	"github.com/navefleet/nave/hub/api"
)

// Errors of RequireActiveCluster, to be told apart with errors.Is.
var (
	ErrNoCluster = errors.New("the cluster is not registered with this hub")
	ErrBlocked   = errors.New("the cluster is blocked")
)

// RequireActiveCluster returns ErrNoCluster if there is no Cluster of that name, ErrBlocked if the Cluster is blocked,
// and nil if its spoke may come in.
func RequireActiveCluster(tx *Tx, cluster string) error {
	row, ok, err := Resources.Get(tx, api.ClusterKey(cluster).Path())
	if err != nil {
		return err
	}
	if !ok {
		return ErrNoCluster
	}
	c, err := row.Object.Cluster()
	if err != nil {
		return err
	}
	if c.Spec.Blocked {
		return ErrBlocked
	}
	return nil
}

// DeleteGraph deletes the rows of a cluster that come from its graph and from its spoke's reports. Its bundle and the
// identity of its spoke stay: a Cluster that left Git by mistake and comes back must not have to join again.
func DeleteGraph(tx *Tx, cluster string) error {
	for _, t := range tables {
		if err := t.deleteOf(tx, cluster, false); err != nil {
			return err
		}
	}
	return Confirmations.Delete(tx, ConfirmationKey(cluster))
}

// DeleteCluster deletes every row of a cluster but its events and the Cluster itself. With its Spoke and its join
// tokens the identity goes: the session of the spoke ends, and only a new join token lets a spoke in.
func DeleteCluster(tx *Tx, cluster string) error {
	for _, t := range tables {
		if err := t.deleteOf(tx, cluster, true); err != nil {
			return err
		}
	}
	if err := Confirmations.Delete(tx, ConfirmationKey(cluster)); err != nil {
		return err
	}
	return JoinTokens.Scan(tx, "", func(key string, t JoinToken) error {
		if t.Cluster != cluster {
			return nil
		}
		return JoinTokens.Delete(tx, key)
	})
}

// deleteOf deletes the rows of a cluster; those that outlive its graph only if forever is set.
func (t *layoutTable) deleteOf(tx *Tx, cluster string, forever bool) (err error) {
	switch {
	case t.of == ofGraph:
		err = tx.scan(t.name, cluster+"/", func(key string, _ []byte) error { return tx.delete(t.name, key) })
	case t.of == ofPlan, t.of == ofSpoke && forever:
		err = tx.delete(t.name, cluster)
	}
	if err != nil {
		return fmt.Errorf("delete %s of cluster %s in the store: %w", t.name, cluster, err)
	}
	return nil
}
