package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
)

// maxChanges limits the changes that History lists for one release.
const maxChanges = 20

// historyOf has the rows about the past of a cluster.
type historyOf struct {
	past    []store.Past // the newest first
	pin     *store.Pin
	current store.Release
}

// readHistory reads the rows about the past of a cluster. If there is no such Cluster, and no pin of one that left Git,
// the error is NOT_FOUND. Damaged releases are left out.
func readHistory(tx *store.Tx, cluster string) (h historyOf, err error) {
	if h.pin, err = readPin(tx, cluster); err != nil {
		return h, err
	}
	if err := requireRow(tx, api.ClusterKey(cluster)); err != nil && (h.pin == nil || status.Code(err) != codes.NotFound) {
		return h, err
	}
	err = store.History.ScanApart(tx, store.OfCluster(cluster), func(_ string, past store.Past) error {
		h.past = append(h.past, past)
		return nil
	}, func(string, error) error { return nil })
	if err != nil {
		return h, err
	}
	slices.Reverse(h.past)
	h.current, _, err = store.Releases.GetIntact(tx, cluster)
	return h, err
}

// readPin reads the pin of a cluster; nil if there is none. A damaged pin is without its content.
func readPin(tx *store.Tx, cluster string) (*store.Pin, error) {
	pin, pinned, err := store.Pins.Get(tx, cluster)
	if err != nil && !errors.Is(err, store.ErrDamaged) || err == nil && !pinned {
		return nil, err
	}
	return &pin, nil
}

func pinMessage(p *store.Pin) *adminv1.Pin {
	if p == nil {
		return nil
	}
	return &adminv1.Pin{Sequence: p.Bundle.Sequence, PinnedAt: timestamppb.New(p.PinnedAt), By: identity.NameOf(p.By)}
}

// isCurrent reports whether the cluster's release has the Applications of a past one.
func (h historyOf) isCurrent(past store.Past) bool {
	return len(changesOf(past.Applications, h.now())) == 0
}

// now returns the Applications of the cluster's release.
func (h historyOf) now() []store.Content {
	now := make([]store.Content, len(h.current.Applications))
	for i, e := range h.current.Applications {
		now[i] = e.Content
	}
	return now
}

// wasPinned reports whether the cluster's release was made for a pin. If there is no pin any more, the next release is
// not made yet.
func (h historyOf) wasPinned() bool {
	apps := h.current.Applications
	return len(apps) > 0 && !slices.ContainsFunc(apps, func(e store.Entry) bool { return !e.KeepsObjects })
}

// History implements adminv1.AdminServiceServer.
func (s *Server) History(ctx context.Context, r *adminv1.HistoryRequest) (*adminv1.HistoryResponse, error) {
	if _, err := s.operator(ctx); err != nil {
		return nil, err
	}
	var h historyOf
	err := s.store.View(ctx, func(tx *store.Tx) (err error) {
		h, err = readHistory(tx, r.GetCluster())
		return err
	})
	if err != nil {
		return nil, s.fail(err)
	}
	response, newest := &adminv1.HistoryResponse{Pin: pinMessage(h.pin)}, slices.IndexFunc(h.past, h.isCurrent)
	for i, past := range h.past {
		if r.GetSequence() != 0 && r.GetSequence() != past.Bundle.Sequence {
			continue
		}
		p := &adminv1.PastRelease{Sequence: past.Bundle.Sequence, ReleasedAt: timestamppb.New(past.ReleasedAt),
			Applications: int64(len(past.Applications)), Current: i == newest}
		if i+1 < len(h.past) {
			p.Changes = changesOf(h.past[i+1].Applications, past.Applications)
		}
		if r.GetSequence() != 0 {
			p.Listed = listedOf(r.GetCluster(), h.past[i:])
		}
		if more := len(p.Changes) - maxChanges; more > 0 {
			p.Changes = append(p.Changes[:maxChanges], fmt.Sprintf("and %d more", more))
		}
		response.Releases = append(response.Releases, p)
	}
	if r.GetSequence() != 0 && len(response.Releases) == 0 {
		return nil, errNoRelease(r.GetCluster(), r.GetSequence())
	}
	return response, nil
}

// Rollback implements adminv1.AdminServiceServer. Package publish makes a bundle of the pinned Applications, with a
// higher sequence.
func (s *Server) Rollback(ctx context.Context, r *adminv1.RollbackRequest) (*adminv1.RollbackResponse, error) {
	who, err := s.operator(ctx)
	if err != nil {
		return nil, err
	}
	_, past, err := s.chooseRelease(ctx, r)
	if err != nil {
		return nil, s.fail(err)
	}
	answer := &adminv1.RollbackResponse{Sequence: past.Bundle.Sequence}
	err = s.store.Update(ctx, func(tx *store.Tx) error { // not update: a pin names blobs
		if err := requireOperate(ctx, tx); err != nil {
			return err
		}
		h, err := readHistory(tx, r.GetCluster())
		if err == nil {
			err = h.refuseSecond(r)
		}
		if err == nil {
			answer.Replaces, err = replacedBy(tx, r.GetCluster(), !h.isReleased(past))
		}
		if err != nil {
			return err
		}
		if _, kept, err := store.History.Get(tx, store.PastKey(r.GetCluster(), past.Bundle)); err != nil || !kept {
			return cmp.Or(err, status.Errorf(codes.Aborted, "bundle %d left the history meanwhile: try again",
				past.Bundle.Sequence))
		}
		return errors.Join(s.pin(tx, r.GetCluster(), store.Pin{Past: past, PinnedAt: s.now().UTC(), By: who.String()}),
			s.audit(ctx, tx, "rolled back", fmt.Sprintf("to bundle %d", past.Bundle.Sequence),
				api.ClusterKey(r.GetCluster())))
	})
	if err != nil {
		return nil, s.fail(err)
	}
	s.log.Info("operator pinned a cluster", slog.String("cluster", r.GetCluster()),
		slog.Uint64("sequence", past.Bundle.Sequence), slog.String("peer", who.String()))
	return answer, nil
}

// pin stores the pin of a cluster, and keeps the event.
func (s *Server) pin(tx *store.Tx, cluster string, p store.Pin) error {
	err := s.record(tx, api.ClusterKey(cluster), condition.Pinned,
		fmt.Sprintf("pinned to the applications of bundle %d by %s", p.Bundle.Sequence, identity.NameOf(p.By)))
	return errors.Join(err, store.Pins.Put(tx, cluster, p))
}

// isReleased reports whether the cluster's release has what a pin to a past release gives it. Applications that the
// past release does not have stay while the cluster is pinned.
func (h historyOf) isReleased(past store.Past) bool {
	if !h.wasPinned() {
		return len(past.Applications) == 0 && h.isCurrent(past)
	}
	return !slices.ContainsFunc(compareReleases(past.Applications, h.now()), func(c compared) bool {
		return c.change() == adminv1.ApplicationChange_APPLICATION_CHANGE_CHANGED ||
			c.change() == adminv1.ApplicationChange_APPLICATION_CHANGE_REMOVED
	})
}

// replacedBy returns the sequence of the newest bundle of a cluster if another one must follow. If none must, or there
// is no bundle, it is 0.
func replacedBy(tx *store.Tx, cluster string, another bool) (uint64, error) {
	if !another {
		return 0, nil
	}
	signed, _, err := store.SignedBundles.GetIntact(tx, cluster)
	return signed.Bundle.Sequence, err
}

// chooseRelease returns the release that a request names, and the history that it is from.
func (s *Server) chooseRelease(ctx context.Context, r *adminv1.RollbackRequest) (h historyOf, past store.Past,
	err error) {
	err = s.store.View(ctx, func(tx *store.Tx) (err error) {
		if h, err = readHistory(tx, r.GetCluster()); err == nil {
			past, err = h.choose(r)
		}
		return err
	})
	if err == nil {
		err = s.requireBlobs(ctx, past)
	}
	return h, past, err
}

// refuseSecond returns ALREADY_EXISTS if a request names no release and the cluster is pinned. The newest release that
// differs from the pinned one may be the one that the operator went back from.
func (h historyOf) refuseSecond(r *adminv1.RollbackRequest) error {
	if r.GetSequence() != 0 || h.pin == nil {
		return nil
	}
	return status.Errorf(codes.AlreadyExists, "cluster %[1]s is pinned to bundle %[2]d already and stays there; for "+
		"another release: nave rollback %[1]s --to BUNDLE, as in nave history %[1]s", r.GetCluster(), h.pin.Bundle.Sequence)
}

// choose returns the release that a request names. If it names none, that is the newest that differs from the present
// one and that no rollback left: an operator took those back. If a pin was deleted and nothing was released since, that
// is the present one: the newest may be the one that the operator went back from.
func (h historyOf) choose(r *adminv1.RollbackRequest) (store.Past, error) {
	if err := h.refuseSecond(r); err != nil {
		return store.Past{}, err
	}
	for _, past := range h.past {
		current := h.isCurrent(past) || h.isReleased(past)
		switch r.GetSequence() {
		case 0:
			if !past.Left && current == h.wasPinned() {
				return past, nil
			}
		case past.Bundle.Sequence:
			if current && h.pin != nil && h.pin.Bundle == past.Bundle {
				return past, status.Errorf(codes.AlreadyExists, "cluster %[1]s is pinned to bundle %[2]d already; to go on "+
					"with Git: nave release %[1]s", r.GetCluster(), past.Bundle.Sequence)
			}
			return past, nil // also what the cluster has: then the pin keeps it
		}
	}
	if r.GetSequence() == 0 {
		return store.Past{}, status.Errorf(codes.FailedPrecondition, "the history of cluster %[1]s has no other "+
			"release that no rollback has left; to go to one of those: nave rollback %[1]s --to BUNDLE, as in nave history "+
			"%[1]s", r.GetCluster())
	}
	return store.Past{}, errNoRelease(r.GetCluster(), r.GetSequence())
}

// errNoRelease is the error of a release that is not kept.
func errNoRelease(cluster string, sequence uint64) error {
	return status.Errorf(codes.NotFound, "the history of cluster %[1]s has no bundle %[2]d: nave history %[1]s lists "+
		"those that are kept", cluster, sequence)
}

// requireBlobs returns an error if the store has lost a blob of a past release.
func (s *Server) requireBlobs(ctx context.Context, past store.Past) error {
	for _, c := range past.Applications {
		data, err := s.store.Blobs().Get(ctx, c.Digest)
		if err == nil {
			_, err = bundle.DecodeApplication(data)
		}
		if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrDamaged) {
			return status.Errorf(codes.FailedPrecondition, "bundle %d cannot be restored: the hub has lost %s of it",
				past.Bundle.Sequence, c.Name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Release implements adminv1.AdminServiceServer.
func (s *Server) Release(ctx context.Context, r *adminv1.ReleaseRequest) (*adminv1.ReleaseResponse, error) {
	who, err := s.operator(ctx)
	if err != nil {
		return nil, err
	}
	answer := &adminv1.ReleaseResponse{ReleasedAt: timestamppb.New(s.now())}
	err = s.readApplications(ctx, s.update, func(tx *store.Tx, apps *applications) error {
		i, err := impactOfRelease(tx, apps, r.GetCluster())
		if err != nil {
			return err
		}
		if _, err := i.requireSeen(r.GetDigest()); err != nil {
			return err
		}
		h, err := readHistory(tx, r.GetCluster())
		if err != nil {
			return err
		}
		if answer.Replaces, err = replacedBy(tx, r.GetCluster(), h.wasPinned()); err != nil {
			return err
		}
		err = s.record(tx, api.ClusterKey(r.GetCluster()), condition.PinEnded, "released by "+identity.NameOf(who.String()))
		return errors.Join(err, store.Pins.Delete(tx, r.GetCluster()),
			s.audit(ctx, tx, "released", "the pin of the cluster", api.ClusterKey(r.GetCluster())))
	})
	if err != nil {
		return nil, s.fail(err)
	}
	s.did(who, "released", api.ClusterKey(r.GetCluster()))
	return answer, nil
}
