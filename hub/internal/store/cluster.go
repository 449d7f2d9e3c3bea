package store

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/navefleet/nave/hub/api"
)

// Errors of RequireActiveCluster and CheckNotRevoked, to be told apart with errors.Is.
var (
	ErrNoCluster = errors.New("the cluster is not registered with this hub")
	ErrBlocked   = errors.New("the cluster is blocked")
	// ErrUnregistered: an operator removed the cluster and added it again, and its spoke has not joined since. A cluster
	// that left Git and came back still has its registration.
	ErrUnregistered = errors.New("the cluster has not registered since it was added")
	// ErrRevoked: the certificate is of another registration than the cluster's last, or an operator ended it.
	ErrRevoked = errors.New("the certificate is from before its cluster registered last, or an operator ended it")
)

// OfCluster returns the prefix of the paths of a cluster's objects, by which Resources, Conditions and Reports are
// scanned. For "" OfCluster returns the prefix of the hub's own objects, Clusters and Fleets among them.
func OfCluster(cluster string) string { return cluster + "/" }

// Cluster returns the cluster that the changed row belongs to: the row is deleted with the graph of the cluster or with
// the Cluster. If there is none, Cluster returns "".
func (c Change) Cluster() string {
	for _, t := range tables {
		switch {
		case t.name != c.Table:
			continue
		case t.of == ofGraph:
			prefix, _, _ := strings.Cut(c.Key, "/") // of a key that is no path of an object
			return cmp.Or(api.ClusterOf(c.Key), prefix)
		case t.of != ofHub:
			return c.Key
		}
	}
	return ""
}

// ClusterExists reports whether there is a Cluster of that name. A damaged one exists.
func ClusterExists(tx *Tx, cluster string) (bool, error) {
	row, err := Resources.Bytes(tx, api.ClusterKey(cluster).Path())
	return row != nil, err
}

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

// CheckNotRevoked returns the Spoke row of an active cluster, and an error unless a certificate of this registration,
// issued at this time, is valid for the cluster. The errors are also those of RequireActiveCluster.
func CheckNotRevoked(tx *Tx, cluster, registration string, issued time.Time) (row Spoke, err error) {
	if err = RequireActiveCluster(tx, cluster); err != nil {
		return row, err
	}
	row, _, err = Spokes.Get(tx, cluster)
	switch {
	case err != nil:
		return row, err
	case row.RegisteredAt.IsZero():
		return row, ErrUnregistered
	case !row.Counts(registration, issued):
		return row, ErrRevoked
	}
	return row, nil
}

// Ended is the name of no registration: certificates of a cluster whose row has it are not valid.
const Ended = "ended"

// EndRegistration makes the certificates of a cluster invalid, until its spoke registers with a join token from after
// this: the unused ones of before are deleted, since they may have leaked, too. Nothing expires meanwhile.
func EndRegistration(tx *Tx, cluster string) error {
	err := DeleteTokens(tx, func(t JoinToken) bool { return t.Cluster == cluster && t.UsedAt.IsZero() })
	if err != nil {
		return err
	}
	row, there, err := Spokes.Get(tx, cluster)
	if err != nil || !there {
		return err
	}
	row.Registration, row.CertificateExpiry, row.CertificateIssued, row.Expiring = Ended, time.Time{}, time.Time{}, false
	return Spokes.Put(tx, cluster, row)
}

// DeleteGraph deletes the rows of a cluster that come from its graph and from its spoke's reports. Its bundle, its pin
// and the identity of its spoke stay: a Cluster that left Git by mistake and comes back must not have to join again,
// nor run what an operator took back. The release of a pinned cluster stays, too: it alone has the applications that
// are newer than the pin.
func DeleteGraph(tx *Tx, cluster string) error {
	pin, err := Pins.Bytes(tx, cluster)
	if err != nil {
		return err
	}
	kept := ""
	if pin != nil {
		kept = Releases.Name()
	}
	return errors.Join(deleteRows(tx, cluster, ofGraph, ""), deleteRows(tx, cluster, ofPlan, kept),
		Confirmations.Delete(tx, ConfirmationKey(cluster)))
}

// DeleteCluster deletes every row of a cluster but its events and the Cluster itself. With its Spoke and its join
// tokens the identity goes: the session of the spoke ends, and only a new join token lets a spoke in.
func DeleteCluster(tx *Tx, cluster string) error {
	if err := errors.Join(deleteRows(tx, cluster, ofSpoke, ""), DeleteGraph(tx, cluster),
		eventDrops.Delete(tx, OfCluster(cluster))); err != nil {
		return err
	}
	return DeleteTokens(tx, func(t JoinToken) bool { return t.Cluster == cluster })
}

// DeleteTokens deletes some join tokens, and damaged ones, which let nobody in.
func DeleteTokens(tx *Tx, which func(JoinToken) bool) error {
	return JoinTokens.ScanApart(tx, "", func(key string, t JoinToken) error {
		if !which(t) {
			return nil
		}
		return JoinTokens.Delete(tx, key)
	}, func(key string, _ error) error { return JoinTokens.Delete(tx, key) })
}

// deleteRows deletes the rows of a cluster in all tables of one membership but the table kept.
func deleteRows(tx *Tx, cluster string, of membership, kept string) error {
	for _, t := range tables {
		var err error
		switch {
		case t.of != of, t.name == kept:
			continue
		case of == ofGraph:
			err = tx.scan(t.name, OfCluster(cluster), func(key string, _ []byte) error { return tx.write(t, key, nil) })
		default:
			err = tx.write(t, cluster, nil)
		}
		if err != nil {
			return fmt.Errorf("delete %s of cluster %s in the store: %w", t.name, cluster, err)
		}
	}
	return nil
}
