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
	if _, stale := errors.AsType[*staleShape](err); stale {
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

// reasonOf returns the special reason that all failed entries share; general if they share none. If each lacks a value,
// some of sealed files and some of variables, the reason is that of the files.
func reasonOf(failed []apply.Entry, general string) string {
	held, silent, unset, incomplete := true, true, true, true
	for _, e := range failed {
		_, isSealed := errors.AsType[*sealedError](e.Err)
		_, isUnset := errors.AsType[*unsetError](e.Err)
		held = held && e.Action == apply.Held
		silent = silent && errors.Is(e.Err, decrypt.ErrService)
		unset = unset && isUnset
		incomplete = incomplete && (isSealed || isUnset)
	}
	switch {
	case held:
		return condition.PruneFailed
	case silent:
		return condition.KeyServiceUnavailable
	case unset:
		return condition.InputNotReady
	case incomplete:
		return condition.DecryptionFailed
	}
	return general
}
