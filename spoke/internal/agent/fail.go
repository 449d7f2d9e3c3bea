package agent

import (
	"errors"
	"strings"

	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/decrypt"
)

// failureOf returns the failure of an apply or a deletion; the zero failure if it succeeded.
func failureOf(changes *apply.ChangeSet, err error, reason string) failure {
	var f failure
	var found error
	if guard := guarded(changes); guard != nil {
		f.reason, f.held, found = condition.PruneHeld, guard, guard // none of the objects was refused
	} else if changes != nil && len(changes.Failed()) > 0 {
		f.reason, found = reasonOf(changes.Failed(), reason), changes.Err()
		for _, e := range changes.Failed() {
			id := e.Object.ID()
			message := strings.TrimPrefix(e.Err.Error(), "apply ") // other operations stay in the message
			f.objects = append(f.objects, objectFailure{Object: id, Message: strings.TrimPrefix(message, id.String()+": ")})
		}
	}
	if err != nil {
		f.reason = reason
	}
	if _, missing := errors.AsType[*missingInput](err); missing {
		f.reason = condition.InputNotReady
	}
	if all := errors.Join(err, found); all != nil {
		f.message = all.Error()
	}
	return f
}

// guarded returns why a prune was stopped, if there is no other failure.
func guarded(changes *apply.ChangeSet) *apply.GuardError {
	if changes == nil {
		return nil
	}
	var guard *apply.GuardError
	for _, e := range changes.Failed() {
		if !errors.As(e.Err, &guard) {
			return nil
		}
	}
	return guard
}

// reasonOf returns the special reason that all failed entries share; general if they share none.
func reasonOf(failed []apply.Entry, general string) string {
	held, sealed, silent := true, true, true
	for _, e := range failed {
		var s *sealedError
		held = held && e.Action == apply.Held
		sealed = sealed && errors.As(e.Err, &s)
		silent = silent && errors.Is(e.Err, decrypt.ErrService)
	}
	switch {
	case held:
		return condition.PruneFailed
	case silent:
		return condition.KeyServiceUnavailable
	case sealed:
		return condition.DecryptionFailed
	}
	return general
}
